//! Tasks of legacy servers (2025-11-25), as those of 2026-07-28.
//!
//! What a task came to is fetched by `tasks/result`, and what it wants to know comes on the stream of that
//! (`inputs`).

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

/// A task at a legacy server that is served to a client without such tasks.
#[derive(Clone, Debug)]
pub(super) struct LegacyTask {
    /// Not held: streams of tasks end with the gateway.
    inputs: Weak<TaskInputs>,
    pub(super) caller: Arc<Caller>,
    pub(super) gateway: GatewayName,
    /// What the client can be asked.
    pub(super) capabilities: ClientCapabilities,
    /// The session that it is in.
    pub(super) session_ref: UpstreamSessionRef,
}

impl Tasks {
    /// The message that answers what a modern client asks about the task of a legacy server.
    pub(crate) async fn serve_legacy(&self, request: &RelayRequest, task: &TaskIds) -> Result<Bytes> {
        let unknown = || {
            Ok(envelope::error(
                Some(&request.id),
                &ErrorObject::invalid_params("unknown task"),
            ))
        };
        let id = task.known_id().and_then(object::text);
        let found = id.and_then(|id| task_ids::find(&request.context, &self.keys, &id));
        let Some(found) = found else { return unknown() };
        let Some(legacy) = self.legacy_task(&request.context, &found, request.capabilities) else {
            return unknown();
        };
        let task_ref = TaskRef {
            server: request.server.clone(),
            credential: request.credential.clone(),
            passthrough: request.passthrough.clone(),
            ids: Some(Arc::new(task.clone())),
            legacy: Some(Arc::new(legacy)),
            id: found.id,
        };
        let answered = match request.method {
            Method::TasksGet => task_ref.whole().await,
            Method::TasksUpdate => match request.params.get("inputResponses").map(RawObject::parse_checked) {
                Some(Ok(answers)) => task_ref.update(&answers).await.map(|()| RawObject::new()),
                _ => {
                    let odd = ErrorObject::invalid_params("params.inputResponses must be an object");
                    return Ok(envelope::error(Some(&request.id), &odd));
                }
            },
            _ => task_ref.cancel().await.map(|()| RawObject::new()),
        };
        match answered {
            Ok(mut result) => {
                result.insert_first("resultType", Bytes::from_static(b"\"complete\""));
                let mut result = result.to_bytes();
                if request.context.gateway.spec.resource_naming == ResourceNaming::Prefix {
                    result = uris::in_text(&request.server.spec().name, &result, uris::TASK);
                }
                Ok(envelope::result(&request.id, &result))
            }
            Err(TaskQueryError::Ever(_)) => unknown(),
            Err(TaskQueryError::Now(error)) => Err(error),
        }
    }

    /// What else has to be known of a task at a legacy server; `None` of a task that is in no session.
    pub(super) fn legacy_task(
        &self,
        context: &RequestContext,
        found: &FoundTask<'_>,
        capabilities: ClientCapabilities,
    ) -> Option<LegacyTask> {
        let is_at_url = found.place.1.upstream.is_at_url();
        Some(LegacyTask {
            inputs: Arc::downgrade(&self.inputs),
            caller: context.caller.clone(),
            gateway: context.gateway.spec.name.clone(),
            // Behind a channel a server request is answered in the exchange that it came in, and by nobody else.
            capabilities: if is_at_url {
                capabilities
            } else {
                ClientCapabilities::NONE
            },
            session_ref: found.session_ref()?.clone(),
        })
    }
}

impl LegacyTask {
    fn inputs(&self) -> Result<Arc<TaskInputs>, TaskQueryError> {
        let gone = || TaskQueryError::Now(Error::invalid("gateway", "is gone"));
        self.inputs.upgrade().ok_or_else(gone)
    }
}

impl TaskRef {
    /// The task at a legacy server, with what it came to or wants to know, as 2026-07-28 writes it.
    pub(super) async fn legacy_whole(&self, legacy: &LegacyTask) -> Result<RawObject, TaskQueryError> {
        let raw = self.ask(Method::TasksGet, None).await?;
        let task = RawObject::parse_checked(&raw).ok();
        let task = task.ok_or_else(|| self.unreadable())?;
        let mut task = created::modern_task(&task);
        match task.get("status").map(|raw| &raw[..]) {
            // Legacy servers call a task failed also for a result that says so.
            Some(b"\"completed\"" | b"\"failed\"") => {
                let (status, member, raw) = match self.outcome().await? {
                    Outcome::Result(raw) => ("completed", "result", complete(&raw)),
                    Outcome::Error(raw) => ("failed", "error", readable(&raw)),
                };
                task.set("status", object::quote(status));
                task.set(member, raw);
            }
            Some(b"\"input_required\"") => {
                let open = legacy.inputs()?.open(self, legacy).await.map_err(TaskQueryError::Now)?;
                if open.is_empty() {
                    // It is on its way.
                    task.set("status", object::quote("working"));
                } else {
                    task.set("inputRequests", open.to_bytes());
                }
            }
            _ => {}
        }
        Ok(task)
    }

    /// Brings answers to whom they are for. What is not asked is passed over.
    pub(super) async fn legacy_update(&self, legacy: &LegacyTask, answers: &RawObject) -> Result<(), TaskQueryError> {
        // A task that is unknown wants nothing.
        self.ask(Method::TasksGet, None).await?;
        let inputs = legacy.inputs()?;
        for (key, answer) in answers.iter().filter(|(_, raw)| raw.starts_with(b"{")) {
            let asked = inputs.take(self, legacy, &key).await.map_err(TaskQueryError::Now)?;
            if let Some(id) = asked {
                let text = client::response(&id, &RpcResponse::Result(answer.clone()));
                let told = self.server.notify(&legacy.session_ref, &self.credential, text).await;
                told.map_err(TaskQueryError::Now)?;
            }
        }
        Ok(())
    }

    /// To have a task end that is over is no fault in 2026-07-28.
    pub(super) async fn legacy_cancel(&self) -> Result<(), TaskQueryError> {
        match self.ask(Method::TasksCancel, None).await {
            Err(TaskQueryError::Ever(_)) => self.ask(Method::TasksGet, None).await.map(drop),
            other => other.map(drop),
        }
    }
}

fn complete(result: &Bytes) -> Bytes {
    let bare = tasks::without_related(result).unwrap_or_else(|| result.clone());
    match RawObject::parse_checked(&bare) {
        Ok(mut result) if !result.contains("resultType") => {
            result.insert_first("resultType", Bytes::from_static(b"\"complete\""));
            result.to_bytes()
        }
        _ => bare,
    }
}

fn readable(raw: &Bytes) -> Bytes {
    let error = ErrorObject::parse(raw).unwrap_or_else(|| ErrorObject::internal("the task failed"));
    error::to_client(Era::Modern, &Method::ToolsCall, error)
        .hidden()
        .to_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_says_that_it_is_one_and_nothing_of_its_task() {
        let raw = br#"{"content":[],"_meta":{"io.modelcontextprotocol/related-task":{"taskId":"t"}}}"#;
        assert_eq!(
            complete(&Bytes::from_static(raw)),
            r#"{"resultType":"complete","content":[]}"#
        );
    }
}
