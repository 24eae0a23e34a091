//! A runtime in memory.

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

/// A [`Runtime`] for tests that starts no servers: each deployment is ready at once at a preset endpoint, or gets a preset
/// status. For an example, see [`Runtime`].
#[derive(Debug)]
pub struct MemoryRuntime {
    endpoint: Endpoint,
    clock: Arc<dyn Clock>,
    board: StatusBoard,
    deployments: Mutex<BTreeMap<InstallName, RunSpec>>,
    outcomes: Mutex<BTreeMap<ServerName, Status>>,
}

impl MemoryRuntime {
    /// Creates a runtime whose deployments all have the endpoint `endpoint`.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use portolan_core::{Endpoint, HttpEndpoint, SystemClock, memory::MemoryRuntime};
    ///
    /// let endpoint = Endpoint::Http(HttpEndpoint::new("http://127.0.0.1:9/mcp".parse().expect("a URL")));
    /// let runtime = MemoryRuntime::new(endpoint, Arc::new(SystemClock));
    /// ```
    pub fn new(endpoint: Endpoint, clock: Arc<dyn Clock>) -> Self {
        Self {
            endpoint,
            clock,
            board: StatusBoard::new(),
            deployments: Mutex::default(),
            outcomes: Mutex::default(),
        }
    }

    /// Sets the status that deployments of `server` get from now on when they are created, instead of ready.
    pub fn becomes(&self, server: &ServerName, status: Status) {
        lock(&self.outcomes).insert(server.clone(), status);
    }

    /// Sets the status of the deployment `name`, if there is one.
    pub fn set(&self, name: &InstallName, status: Status) {
        if lock(&self.deployments).contains_key(name) {
            self.board.set(StatusEvent::new(*name, status, self.clock.now()));
        }
    }

    /// Returns the specification of the deployment `name`.
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

    async fn status(&self, name: &InstallName) -> Result<StatusEvent> {
        self.board.get(name).ok_or_else(|| Error::not_found("deployment", name))
    }

    fn watch(&self) -> BoxStream<'static, StatusEvent> {
        self.board.watch()
    }
}
