//! Tasks of legacy servers (2025-11-25), as those of 2026-07-28.
//!
//! What a task came to is fetched by `tasks/result`, and what it wants to know comes on the stream of that
//! ([`asked`](super::asked)).

use std::sync::{Arc, Weak};

use bytes::Bytes;
use portolan_core::{Caller, Error, GatewayName, ResourceNaming, Result, RpcResponse};
use portolan_wire::{
    envelope::{self, Outcome},
    era::Era,
    error::{self, ErrorObject},
    method::Method,
    object::{self, RawObject},
};

use super::{
    FoundTask,
    query::{TaskQueryError, TaskRef},
    related,
};
use crate::{
    passthrough,
    request_context::RequestContext,
    server_requests::{ClientCapabilities, UpstreamSessionRef},
    service::Inner,
    upstream::{Reply, UpstreamRequest},
    uris,
};

/// What else has to be known of a task at a legacy server, to serve it to a client that knows none of those.
#[derive(Clone, Debug)]
pub(super) struct LegacyTask {
    /// Not held: streams of tasks end with the gateway.
    inner: Weak<Inner>,
    pub(super) caller: Arc<Caller>,
    pub(super) gateway: GatewayName,
    /// What the client can be asked.
    pub(super) asks: ClientCapabilities,
    /// The session that it is in.
    pub(super) session_ref: UpstreamSessionRef,
}

/// Answers what a modern client asks about the task of a legacy server.
pub(crate) async fn serve(
    inner: &Arc<Inner>,
    context: &Arc<RequestContext>,
    found: FoundTask<'_>,
    known: Bytes,
    outgoing: &UpstreamRequest<'_>,
) -> Result<Reply> {
    let id = outgoing.id.clone();
    let unknown = || Reply::Message(envelope::error(Some(&id), &ErrorObject::invalid_params("unknown task")));
    let Some(legacy) = LegacyTask::of(inner, context, &found, outgoing.asks) else {
        return Ok(unknown());
    };
    let task_ref = TaskRef {
        link: found.mounted.upstream.clone(),
        credential: outgoing.credential.clone(),
        passthrough: passthrough::select(&context.gateway.passthrough, &context.headers),
        known: Some(found.known(known)),
        legacy: Some(Arc::new(legacy)),
        id: found.id,
    };
    let answered = match outgoing.method {
        Method::TasksGet => task_ref.whole().await,
        Method::TasksUpdate => match outgoing.params.get("inputResponses").map(RawObject::parse_checked) {
            Some(Ok(answers)) => task_ref.update(&answers).await.map(|()| RawObject::new()),
            _ => {
                let odd = ErrorObject::invalid_params("params.inputResponses must be an object");
                return Ok(Reply::Message(envelope::error(Some(&id), &odd)));
            }
        },
        _ => task_ref.cancel().await.map(|()| RawObject::new()),
    };
    match answered {
        Ok(mut result) => {
            result.insert_first("resultType", Bytes::from_static(b"\"complete\""));
            let mut result = result.to_bytes();
            if outgoing.uris == ResourceNaming::Prefix {
                result = uris::in_text(&task_ref.link.server.name, &result, uris::TASK);
            }
            Ok(Reply::Message(envelope::result(&id, &result)))
        }
        Err(TaskQueryError::Ever(_)) => Ok(unknown()),
        Err(TaskQueryError::Now(error)) => Err(error),
    }
}

impl LegacyTask {
    /// `None` of a task that is in no session.
    pub(super) fn of(
        inner: &Arc<Inner>,
        context: &RequestContext,
        found: &FoundTask<'_>,
        asks: ClientCapabilities,
    ) -> Option<Self> {
        let is_at_url = found.mounted.upstream.is_at_url();
        Some(Self {
            inner: Arc::downgrade(inner),
            caller: context.caller.clone(),
            gateway: context.gateway.spec.name.clone(),
            // Behind a channel a question is answered in the exchange that it came in, and by nobody else.
            asks: if is_at_url { asks } else { ClientCapabilities::NONE },
            session_ref: found.session_ref()?.clone(),
        })
    }

    pub(super) fn inner(&self) -> Result<Arc<Inner>> {
        self.inner.upgrade().ok_or_else(|| Error::invalid("gateway", "is gone"))
    }
}

impl TaskRef {
    /// The task at a legacy server, with what it came to or wants to know, as 2026-07-28 writes it.
    pub(super) async fn legacy_whole(&self, legacy: &LegacyTask) -> Result<RawObject, TaskQueryError> {
        let raw = self.ask(Method::TasksGet, None).await?;
        let task = RawObject::parse_checked(&raw).ok();
        let task = task.ok_or_else(|| self.unreadable())?;
        let mut task = flattened(&task);
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
                let inner = legacy.inner().map_err(TaskQueryError::Now)?;
                let open = inner
                    .task_inputs
                    .open(self, legacy)
                    .await
                    .map_err(TaskQueryError::Now)?;
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
        let inner = legacy.inner().map_err(TaskQueryError::Now)?;
        for (key, answer) in answers.iter().filter(|(_, raw)| raw.starts_with(b"{")) {
            let asked = inner
                .task_inputs
                .take(self, legacy, &key)
                .await
                .map_err(TaskQueryError::Now)?;
            if let Some(id) = asked {
                let text = crate::upstream::response(&id, &RpcResponse::Result(answer.clone()));
                let told = self.link.tell(&legacy.session_ref, &self.credential, text).await;
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

/// The result that makes a task of a call, as 2026-07-28 writes it; `None` if it makes none.
pub(super) fn created(result: &RawObject) -> Option<RawObject> {
    let task = RawObject::parse_checked(result.get("task")?).ok()?;
    let mut created = flattened(&task);
    created.insert_first("resultType", Bytes::from_static(b"\"task\""));
    Some(created)
}

/// A task with the names that its members have in 2026-07-28.
fn flattened(task: &RawObject) -> RawObject {
    let mut flat = RawObject::new();
    for (member, raw) in task.iter() {
        match &*member {
            "ttl" => flat.set("ttlMs", whole_number(raw)),
            "pollInterval" => flat.set("pollIntervalMs", whole_number(raw)),
            other => flat.set(other, raw.clone()),
        };
    }
    if !flat.contains("ttlMs") {
        flat.set("ttlMs", Bytes::from_static(b"null"));
    }
    flat
}

/// Milliseconds are whole in 2026-07-28.
fn whole_number(raw: &Bytes) -> Bytes {
    let text = std::str::from_utf8(raw).unwrap_or_default();
    match text.parse::<f64>() {
        Ok(number) if text.parse::<u64>().is_err() => (number.max(0.0).round() as u64).to_string().into(),
        _ => raw.clone(),
    }
}

fn complete(result: &Bytes) -> Bytes {
    let bare = related::without(result).unwrap_or_else(|| result.clone());
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
    fn members_get_their_new_names() {
        let result = br#"{"task":{"taskId":"t","status":"working","ttl":null,"pollInterval":99.6,"x":1}}"#;
        let result = RawObject::parse(&Bytes::from_static(result)).expect("an object");
        let wanted = r#"{"resultType":"task","taskId":"t","status":"working","ttlMs":null,"pollIntervalMs":100,"x":1}"#;
        assert_eq!(created(&result).expect("a task").to_bytes(), wanted);
        assert!(created(&RawObject::new()).is_none());
    }

    #[test]
    fn a_result_says_that_it_is_one_and_nothing_of_its_task() {
        let raw = br#"{"content":[],"_meta":{"io.modelcontextprotocol/related-task":{"taskId":"t"}}}"#;
        assert_eq!(
            complete(&Bytes::from_static(raw)),
            r#"{"resultType":"complete","content":[]}"#
        );
    }
}
