//! The requests that the gateway itself sends about a task.

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

/// A task at its server, and the credential to query it with.
#[derive(Clone, Debug)]
pub(super) struct TaskRef {
    pub(super) server: Arc<UpstreamServer>,
    pub(super) credential: Arc<UpstreamCredential>,
    pub(super) passthrough: HeaderMap,
    /// The client's id of the task, if responses are relayed to it.
    pub(super) ids: Option<Arc<dyn TaskIdTransform>>,
    /// The context of a task at a legacy server whose client is modern.
    pub(super) legacy: Option<Arc<LegacyTask>>,
    /// The server's id of the task.
    pub(super) id: String,
}

/// The error of a query.
#[derive(Debug)]
pub(super) enum TaskQueryError {
    /// A retry may succeed.
    Transient(Error),
    /// A retry cannot succeed.
    Permanent(Error),
}

impl TaskRef {
    /// Reads the state of the task.
    pub(super) async fn get(&self) -> Result<TaskState, TaskQueryError> {
        TaskState::read(self.whole().await?).ok_or_else(|| self.unreadable())
    }

    /// Reads the whole task, in the form of 2026-07-28.
    pub(super) async fn whole(&self) -> Result<RawObject, TaskQueryError> {
        if let Some(legacy) = &self.legacy {
            return self.legacy_whole(legacy).await;
        }
        let raw = self.ask(Method::TasksGet, None).await?;
        RawObject::parse_checked(&raw).map_err(|_| self.unreadable())
    }

    /// Reads the result of a finished task (2025-11-25).
    pub(super) async fn outcome(&self) -> Result<Outcome, TaskQueryError> {
        self.send(Method::TasksResult, None).await
    }

    /// Sends responses to the requests of the task.
    pub(super) async fn update(&self, answers: &RawObject) -> Result<(), TaskQueryError> {
        if let Some(legacy) = &self.legacy {
            return self.legacy_update(legacy, answers).await;
        }
        let answers = ("inputResponses", answers.to_bytes());
        self.ask(Method::TasksUpdate, Some(answers)).await.map(drop)
    }

    /// Cancels the task.
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
        sent.map_err(TaskQueryError::Transient)
    }

    pub(super) fn unreadable(&self) -> TaskQueryError {
        TaskQueryError::Permanent(self.protocol_error("it returned a malformed task"))
    }

    fn refused(&self, error: Option<ErrorObject>) -> TaskQueryError {
        match error {
            // A restarted server may have forgotten the task; whether the work was done is unknown.
            Some(error) if error.code == INVALID_PARAMS => TaskQueryError::Permanent(self.lost()),
            Some(error) => {
                TaskQueryError::Transient(self.protocol_error(format!("it returned an error for its task: {error}")))
            }
            None => TaskQueryError::Transient(self.protocol_error("it returned an error for its task")),
        }
    }

    fn lost(&self) -> Error {
        let failure = Failure::new(FailureKind::Stopped, "it no longer knows the task of this call")
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
