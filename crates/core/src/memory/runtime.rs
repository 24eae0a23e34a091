//! A runtime that runs nothing.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use futures_util::stream::BoxStream;

use super::lock;
use crate::{
    Clock, Endpoint, Error, Failure, FailureKind, InstallName, Result, RunSpec, Runtime, ServerName, Source, Status,
    StatusBoard, StatusEvent,
};

/// A [`Runtime`] that runs nothing: what is ensured is ready at once, at the endpoint that it was made with, or becomes
/// what it was told. For tests.
#[derive(Debug)]
pub struct MemoryRuntime {
    endpoint: Endpoint,
    clock: Arc<dyn Clock>,
    board: StatusBoard,
    deployments: Mutex<BTreeMap<InstallName, RunSpec>>,
    outcomes: Mutex<BTreeMap<ServerName, Status>>,
}

impl MemoryRuntime {
    /// A runtime whose servers are all reached at `endpoint`.
    pub fn new(endpoint: Endpoint, clock: Arc<dyn Clock>) -> Self {
        Self {
            endpoint,
            clock,
            board: StatusBoard::new(),
            deployments: Mutex::default(),
            outcomes: Mutex::default(),
        }
    }

    /// From now on, deployments of `server` become `status` when they are made, instead of ready.
    pub fn becomes(&self, server: &ServerName, status: Status) {
        lock(&self.outcomes).insert(server.clone(), status);
    }

    /// The deployment under `name`, if there is one, is `status` now.
    pub fn set(&self, name: &InstallName, status: Status) {
        if lock(&self.deployments).contains_key(name) {
            self.board.set(StatusEvent::new(*name, status, self.clock.now()));
        }
    }

    /// What was asked to run under `name`.
    pub fn deployment(&self, name: &InstallName) -> Option<RunSpec> {
        lock(&self.deployments).get(name).cloned()
    }
}

#[async_trait]
impl Runtime for MemoryRuntime {
    async fn ensure(&self, name: &InstallName, spec: &RunSpec) -> Result<()> {
        if matches!(spec.source, Source::Remote { .. }) {
            return Err(Error::invalid("source", "runs elsewhere; there is nothing to run"));
        }
        let mut deployments = lock(&self.deployments);
        if deployments.get(name) == Some(spec) {
            return Ok(());
        }
        deployments.insert(*name, spec.clone());
        let status = lock(&self.outcomes).get(&spec.server).cloned().unwrap_or(Status::Ready);
        self.board.set(StatusEvent::new(*name, status, self.clock.now()));
        Ok(())
    }

    async fn remove(&self, name: &InstallName) -> Result<()> {
        let mut deployments = lock(&self.deployments);
        if deployments.remove(name).is_some() {
            self.board
                .set(StatusEvent::new(*name, Status::Removed, self.clock.now()));
        }
        Ok(())
    }

    async fn list(&self) -> Result<Vec<InstallName>> {
        Ok(lock(&self.deployments).keys().copied().collect())
    }

    async fn endpoint(&self, name: &InstallName) -> Result<Endpoint> {
        let failure = match self.board.get(name).map(|event| event.status) {
            None => return Err(Error::not_found("deployment", name)),
            Some(Status::Ready) => return Ok(self.endpoint.clone()),
            Some(Status::Failed { failure } | Status::Restarting { failure }) => failure,
            Some(other) => Failure::new(FailureKind::Starting, other.to_string()),
        };
        Err(Error::NotReady {
            what: "install",
            name: name.to_string(),
            failure,
        })
    }

    fn watch(&self) -> BoxStream<'static, StatusEvent> {
        self.board.watch()
    }
}
