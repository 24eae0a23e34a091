//! What the gateway itself asks a server about a task.

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;
use portolan_client::{ClientCapabilities, Requester, TaskIdTransform, UpstreamRequest, UpstreamServer, tasks};
use portolan_core::{Error, Failure, FailureKind, Result, UpstreamCredential};
use portolan_wire::{
    envelope::Outcome,
    error::{ErrorObject, INVALID_PARAMS},
    id::RequestId,
    method::Method,
    object::{self, RawObject},
};

use super::{legacy::LegacyTask, state::TaskState};

/// A task at its server, and who asks for it.
#[derive(Clone, Debug)]
pub(super) struct TaskRef {
    pub(super) server: Arc<UpstreamServer>,
    pub(super) credential: Arc<UpstreamCredential>,
    pub(super) passthrough: HeaderMap,
    /// What the client calls it, where it gets what is told.
    pub(super) ids: Option<Arc<dyn TaskIdTransform>>,
    /// What else has to be known, where it is at a legacy server and its client is not.
    pub(super) legacy: Option<Arc<LegacyTask>>,
    /// The server's id of it.
    pub(super) id: String,
}

/// Why a question about a task has no answer.
#[derive(Debug)]
pub(super) enum TaskQueryError {
    /// It may have one later.
    Now(Error),
    /// It will never have one.
    Ever(Error),
}

impl TaskRef {
    /// How far the task is.
    pub(super) async fn get(&self) -> Result<TaskState, TaskQueryError> {
        TaskState::read(self.whole().await?).ok_or_else(|| self.unreadable())
    }

    /// The whole task, as 2026-07-28 writes it.
    pub(super) async fn whole(&self) -> Result<RawObject, TaskQueryError> {
        if let Some(legacy) = &self.legacy {
            return self.legacy_whole(legacy).await;
        }
        let raw = self.ask(Method::TasksGet, None).await?;
        RawObject::parse_checked(&raw).map_err(|_| self.unreadable())
    }

    /// What it has come to, once it is over (2025-11-25).
    pub(super) async fn outcome(&self) -> Result<Outcome, TaskQueryError> {
        self.send(Method::TasksResult, None).await
    }

    /// Brings it what it wanted to know.
    pub(super) async fn update(&self, answers: &RawObject) -> Result<(), TaskQueryError> {
        if let Some(legacy) = &self.legacy {
            return self.legacy_update(legacy, answers).await;
        }
        let answers = ("inputResponses", answers.to_bytes());
        self.ask(Method::TasksUpdate, Some(answers)).await.map(drop)
    }

    /// Has it end.
    pub(super) async fn cancel(&self) -> Result<(), TaskQueryError> {
        if self.legacy.is_some() {
            return self.legacy_cancel().await;
        }
        self.ask(Method::TasksCancel, None).await.map(drop)
    }

    pub(super) async fn ask(&self, method: Method, more: Option<(&str, Bytes)>) -> Result<Bytes, TaskQueryError> {
        match self.send(method, more).await? {
            Outcome::Result(raw) => Ok(raw),
            Outcome::Error(raw) => Err(self.refused(ErrorObject::parse(&raw))),
        }
    }

    async fn send(&self, method: Method, more: Option<(&str, Bytes)>) -> Result<Outcome, TaskQueryError> {
        let mut params = RawObject::new();
        params.set("taskId", object::quote(&self.id));
        if let Some((member, value)) = more {
            params.set(member, value);
        }
        let declared = tasks::declare(&Bytes::from_static(b"{}"));
        let request = UpstreamRequest {
            requester: Requester::Internal,
            id: &RequestId::from_u64(1),
            method: &method,
            params: &params,
            unchanged: None,
            declared: Some(&declared),
            capabilities: ClientCapabilities::NONE,
            odd_output: false,
            uris: None,
            tasks: self.ids.as_ref(),
            mirrored: &[],
            credential: &self.credential,
            passthrough: &self.passthrough,
        };
        let sent = self.server.internal_request(&request).await;
        sent.map_err(TaskQueryError::Now)
    }

    pub(super) fn unreadable(&self) -> TaskQueryError {
        TaskQueryError::Ever(self.protocol_error("it tells of a task in a way that cannot be read"))
    }

    fn refused(&self, error: Option<ErrorObject>) -> TaskQueryError {
        match error {
            // After a restart it may have forgotten the task: whether the work was done, nobody can say.
            Some(error) if error.code == INVALID_PARAMS => TaskQueryError::Ever(self.lost()),
            Some(error) => TaskQueryError::Now(self.protocol_error(format!("it does not tell of its task: {error}"))),
            None => TaskQueryError::Now(self.protocol_error("it does not tell of its task")),
        }
    }

    fn lost(&self) -> Error {
        let failure = Failure::new(FailureKind::Stopped, "it does not know the task of this call any more")
            .remedy("call again, if it may be done twice");
        self.failed(failure)
    }

    pub(super) fn protocol_error(&self, problem: impl Into<String>) -> Error {
        self.failed(Failure::new(FailureKind::Protocol, problem))
    }

    pub(super) fn failed(&self, failure: Failure) -> Error {
        self.server.failed(failure)
    }
}
