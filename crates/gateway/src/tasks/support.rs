//! Which legacy servers have tasks (2025-11-25), and for which of their tools.

use bytes::Bytes;
use portolan_wire::object::{self, RawObject};

use crate::{request_context::RequestContext, upstream::ServerInfo};

/// Whether a tool is done as a task: its `execution.taskSupport`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Support {
    #[default]
    Forbidden,
    Optional,
    Required,
}

impl Support {
    /// Reads the definition of a tool.
    pub(crate) fn of(definition: &RawObject) -> Self {
        let execution = definition.get("execution");
        let execution = execution.and_then(|raw| RawObject::parse_checked(raw).ok());
        match execution.and_then(|execution| Some(object::text(execution.get("taskSupport")?)?.into_owned())) {
            Some(support) if support == "optional" => Self::Optional,
            Some(support) if support == "required" => Self::Required,
            _ => Self::Forbidden,
        }
    }
}

/// Whether a server does calls of tools as tasks. What its tools say of tasks counts only then.
pub(crate) fn is_offered(info: Option<&ServerInfo>) -> bool {
    let members = |raw: &Bytes| RawObject::parse_checked(raw).ok();
    let called = || {
        let tasks = members(info?.capabilities.get("tasks")?)?;
        let tools = members(members(tasks.get("requests")?)?.get("tools")?)?;
        Some(tools.contains("call"))
    };
    called().unwrap_or(false)
}

/// The capability `tasks` of 2025-11-25, if a server behind the gateway has it.
pub(crate) fn capability(context: &RequestContext) -> Option<Bytes> {
    let offered = context
        .places()
        .any(|(_, mounted)| is_offered(mounted.upstream.info().as_deref()));
    offered.then(|| Bytes::from_static(br#"{"list":{},"cancel":{},"requests":{"tools":{"call":{}}}}"#))
}
