//! Tasks of legacy servers (2025-11-25), converted to those of 2026-07-28.
//!
//! The result of a task comes from `tasks/result`, and its requests arrive on the stream of that call (`inputs`).

use std::sync::{Arc, Weak};

use bytes::Bytes;
use portolan_client::{self as client, ClientCapabilities, UpstreamSessionRef, tasks};
use portolan_core::{Caller, Error, GatewayName, ResourceNaming, Result, RpcResponse};
use portolan_wire::{
    envelope::{self, Outcome},
    era::Era,
    error::{self, ErrorObject},
    method::Method,
    object::{self, RawObject},
};

use super::{
    Tasks,
    inputs::TaskInputs,
    query::{TaskQueryError, TaskRef},
};
use crate::{
    relay_request::RelayRequest,
    routing::{RequestContext, uris},
    task_ids::{self, FoundTask, TaskIds, created},
};

/// A task at a legacy server, served to a client of another era.
#[derive(Clone, Debug)]
pub(super) struct LegacyTask {
    /// Weak, so that the streams of tasks end with the gateway.
    inputs: Weak<TaskInputs>,
    pub(super) caller: Arc<Caller>,
    pub(super) gateway: GatewayName,
    /// Which server requests the client accepts.
    pub(super) capabilities: ClientCapabilities,
    /// The upstream session of the task.
    pub(super) session_ref: UpstreamSessionRef,
}

impl Tasks {
    /// Answers a modern client's `tasks/*` request about the task of a legacy server.
    pub(crate) async fn serve_legacy(&self, request: &RelayRequest, task: &TaskIds) -> Result<Bytes> {
        let unknown = || {
            Ok(envelope::error(
                Some(&request.id),
                &ErrorObject::invalid_params("unknown task"),
            ))
        };
        let id = task.known_id().and_then(object::text);
        let located = id.and_then(|id| task_ids::find(&request.context, &self.keys, &id));
        let Some(located) = located else { return unknown() };
        let Some(legacy) = self.legacy_task(&request.context, &located, request.capabilities) else {
            return unknown();
        };
        let task_ref = TaskRef {
            server: request.server.clone(),
            credential: request.credential.clone(),
            passthrough: request.passthrough.clone(),
            ids: Some(Arc::new(task.clone())),
            legacy: Some(Arc::new(legacy)),
            id: located.id,
        };
        let result_or_error = match request.method {
            Method::TasksGet => task_ref.whole().await,
            Method::TasksUpdate => match request.params.get("inputResponses").map(RawObject::parse_checked) {
                Some(Ok(answers)) => task_ref.update(&answers).await.map(|()| RawObject::new()),
                _ => {
                    let error = ErrorObject::invalid_params("params.inputResponses must be an object");
                    return Ok(envelope::error(Some(&request.id), &error));
                }
            },
            _ => task_ref.cancel().await.map(|()| RawObject::new()),
        };
        match result_or_error {
            Ok(mut result) => {
                result.insert_first("resultType", Bytes::from_static(b"\"complete\""));
                let mut result = result.to_bytes();
                if request.context.gateway.spec.resource_naming == ResourceNaming::Prefix {
                    result = uris::in_text(&request.server.spec().name, &result, uris::TASK);
                }
                Ok(envelope::result(&request.id, &result))
            }
            Err(TaskQueryError::Permanent(_)) => unknown(),
            Err(TaskQueryError::Transient(error)) => Err(error),
        }
    }

    /// Returns the context of a task at a legacy server; `None` if the task belongs to no session.
    pub(super) fn legacy_task(
        &self,
        context: &RequestContext,
        located: &FoundTask<'_>,
        capabilities: ClientCapabilities,
    ) -> Option<LegacyTask> {
        let is_at_url = located.place.0.upstream(located.place.1).is_at_url();
        Some(LegacyTask {
            inputs: Arc::downgrade(&self.inputs),
            caller: context.caller.clone(),
            gateway: context.gateway.spec.name.clone(),
            // Behind a channel, a server request can only be answered in the exchange it arrived in.
            capabilities: if is_at_url {
                capabilities
            } else {
                ClientCapabilities::NONE
            },
            session_ref: located.session_ref()?.clone(),
        })
    }
}

impl LegacyTask {
    fn inputs(&self) -> Result<Arc<TaskInputs>, TaskQueryError> {
        let dropped = || TaskQueryError::Transient(Error::invalid("gateway", "has been dropped"));
        self.inputs.upgrade().ok_or_else(dropped)
    }
}

impl TaskRef {
    /// Returns the task with its result or its open requests, in the form of 2026-07-28.
    pub(super) async fn legacy_whole(&self, legacy: &LegacyTask) -> Result<RawObject, TaskQueryError> {
        let raw = self.ask(Method::TasksGet, None).await?;
        let task = RawObject::parse_checked(&raw).ok();
        let task = task.ok_or_else(|| self.unreadable())?;
        let mut task = created::modern_task(&task);
        match task.get("status").map(|raw| &raw[..]) {
            // Legacy servers also report a tool result with `isError` as a failed task.
            Some(b"\"completed\"" | b"\"failed\"") => {
                let (status, member, raw) = match self.outcome().await? {
                    Outcome::Result(raw) => ("completed", "result", complete_result(&raw)),
                    Outcome::Error(raw) => ("failed", "error", modern_error(&raw)),
                };
                task.set("status", object::quote(status));
                task.set(member, raw);
            }
            Some(b"\"input_required\"") => {
                let open = legacy
                    .inputs()?
                    .open(self, legacy)
                    .await
                    .map_err(TaskQueryError::Transient)?;
                if open.is_empty() {
                    // The request has not arrived yet.
                    task.set("status", object::quote("working"));
                } else {
                    task.set("inputRequests", open.to_bytes());
                }
            }
            _ => {}
        }
        Ok(task)
    }

    /// Sends responses to the requests they belong to, and ignores the others.
    pub(super) async fn legacy_update(&self, legacy: &LegacyTask, answers: &RawObject) -> Result<(), TaskQueryError> {
        // Fails if the task is unknown.
        self.ask(Method::TasksGet, None).await?;
        let inputs = legacy.inputs()?;
        for (key, answer) in answers.iter().filter(|(_, raw)| raw.starts_with(b"{")) {
            let request_id = inputs
                .take(self, legacy, &key)
                .await
                .map_err(TaskQueryError::Transient)?;
            if let Some(id) = request_id {
                let text = client::response(&id, &RpcResponse::Result(answer.clone()));
                let sent = self.server.notify(&legacy.session_ref, &self.credential, text).await;
                sent.map_err(TaskQueryError::Transient)?;
            }
        }
        Ok(())
    }

    /// Cancels the task. In 2026-07-28, cancelling a finished task is not an error.
    pub(super) async fn legacy_cancel(&self) -> Result<(), TaskQueryError> {
        match self.ask(Method::TasksCancel, None).await {
            Err(TaskQueryError::Permanent(_)) => self.ask(Method::TasksGet, None).await.map(drop),
            other => other.map(drop),
        }
    }
}

fn complete_result(result: &Bytes) -> Bytes {
    let bare = tasks::without_related(result).unwrap_or_else(|| result.clone());
    match RawObject::parse_checked(&bare) {
        Ok(mut result) if !result.contains("resultType") => {
            result.insert_first("resultType", Bytes::from_static(b"\"complete\""));
            result.to_bytes()
        }
        _ => bare,
    }
}

fn modern_error(raw: &Bytes) -> Bytes {
    let error = ErrorObject::parse(raw).unwrap_or_else(|| ErrorObject::internal("the task failed"));
    error::to_client(Era::Modern, &Method::ToolsCall, error)
        .hidden()
        .to_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complete_result_hides_its_task() {
        let raw = br#"{"content":[],"_meta":{"io.modelcontextprotocol/related-task":{"taskId":"t"}}}"#;
        assert_eq!(
            complete_result(&Bytes::from_static(raw)),
            r#"{"resultType":"complete","content":[]}"#
        );
    }
}
