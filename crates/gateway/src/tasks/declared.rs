//! Who says that it knows tasks.

use std::sync::Arc;

use bytes::Bytes;
use portolan_core::Result;
use portolan_wire::{
    era::Era,
    error::{ErrorObject, MISSING_CLIENT_CAPABILITY},
    meta,
    object::RawObject,
};

use super::TaskIds;
use crate::{
    service::Inner,
    upstream::{Reply, UpstreamRequest, UpstreamServer, client_capabilities},
};

/// Whether a client has said with a request that it knows tasks.
pub(crate) fn are_known(capabilities: Option<&Bytes>) -> bool {
    let members = |raw: &Bytes| RawObject::parse_checked(raw).ok();
    let capabilities = capabilities.filter(|raw| raw.len() > 2).and_then(members);
    let extensions = capabilities
        .as_ref()
        .and_then(|known| members(known.get("extensions")?));
    extensions.is_some_and(|extensions| extensions.contains(meta::TASKS_EXTENSION))
}

/// -32021, which every method of the extension answers to a client that does not declare it.
pub(crate) fn undeclared() -> ErrorObject {
    let mut extensions = RawObject::new();
    extensions.set(meta::TASKS_EXTENSION, Bytes::from_static(b"{}"));
    let mut required = RawObject::new();
    required.set("extensions", extensions.to_bytes());
    ErrorObject::missing_capability(required.to_bytes())
}

/// Whether a server refuses a call because its client does not know tasks. It has not begun the call then.
pub(crate) fn insists(error: &ErrorObject) -> bool {
    let required = error.data.as_ref().and_then(|data| RawObject::parse(data).ok());
    let required = required.as_ref().and_then(|data| data.get("requiredCapabilities"));
    error.code == MISSING_CLIENT_CAPABILITY && are_known(required)
}

impl Inner {
    /// Whether a client that knows no tasks gets the answer of a call all the same which its modern server does only as one. A
    /// client of the same era is told what it lacks, unless the host wants it otherwise.
    pub(crate) fn drives(&self, client: Era) -> bool {
        client == Era::Legacy || self.config.drive_tasks
    }
}

/// Makes a call that its server does only as a task: the gateway says in the client's place that it knows tasks.
pub(crate) async fn call_as_task(link: &UpstreamServer, mut outgoing: UpstreamRequest<'_>) -> Result<Reply> {
    outgoing.declared = Some(with_tasks(&client_capabilities(&outgoing)));
    outgoing.unchanged = None;
    outgoing.tasks = Some(Arc::new(TaskIds::ResponseBody));
    Box::pin(link.call(&outgoing)).await
}

/// These `capabilities`, with the extension.
pub(crate) fn with_tasks(capabilities: &Bytes) -> Bytes {
    let members = |raw: &Bytes| RawObject::parse_checked(raw).unwrap_or_default();
    let mut capabilities = members(capabilities);
    let mut extensions = capabilities.get("extensions").map(members).unwrap_or_default();
    extensions.set(meta::TASKS_EXTENSION, Bytes::from_static(b"{}"));
    capabilities.set("extensions", extensions.to_bytes());
    capabilities.to_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_declares_tasks_knows_them() {
        let known = |text: &'static str| are_known(Some(&Bytes::from_static(text.as_bytes())));
        assert!(known(r#"{"extensions":{"io.modelcontextprotocol/tasks":{}}}"#));
        assert!(!known("{}") && !known(r#"{"extensions":{}}"#) && !are_known(None));
    }

    #[test]
    fn a_server_insists_by_naming_the_extension() {
        assert!(insists(&undeclared()));
        let sampling = ErrorObject::missing_capability(Bytes::from_static(br#"{"sampling":{}}"#));
        assert!(!insists(&sampling) && !insists(&ErrorObject::internal("x")));
    }

    #[test]
    fn what_else_a_client_can_do_stays() {
        let told = with_tasks(&Bytes::from_static(br#"{"roots":{},"extensions":{"a/b":{"x":1}}}"#));
        let wanted = r#"{"roots":{},"extensions":{"a/b":{"x":1},"io.modelcontextprotocol/tasks":{}}}"#;
        assert_eq!(told, wanted);
    }
}
