//! Tasks in the protocol: capabilities, errors and tool definitions.

mod related;

use bytes::Bytes;
use portolan_wire::{
    error::{ErrorObject, MISSING_CLIENT_CAPABILITY},
    meta,
    object::{self, RawObject},
};

pub use self::related::{rename_related, without_related};
use crate::server_info::ServerInfo;

/// Returns `true` if these client `capabilities` declare the tasks extension (2026-07-28, SEP-2663).
pub fn are_declared(capabilities: Option<&Bytes>) -> bool {
    let members = |raw: &Bytes| RawObject::parse_checked(raw).ok();
    let capabilities = capabilities.filter(|raw| raw.len() > 2).and_then(members);
    let extensions = capabilities
        .as_ref()
        .and_then(|known| members(known.get("extensions")?));
    extensions.is_some_and(|extensions| extensions.contains(meta::TASKS_EXTENSION))
}

/// Returns the error -32021, with which every method of the extension responds to a client that does not declare it.
pub fn undeclared() -> ErrorObject {
    let mut extensions = RawObject::new();
    extensions.set(meta::TASKS_EXTENSION, Bytes::from_static(b"{}"));
    let mut required = RawObject::new();
    required.set("extensions", extensions.to_bytes());
    ErrorObject::missing_capability(required.to_bytes())
}

/// Returns `true` if a server refuses a call because its client does not declare tasks. It has not begun the call then.
pub fn are_required(error: &ErrorObject) -> bool {
    let required = error.data.as_ref().and_then(|data| RawObject::parse(data).ok());
    let required = required.as_ref().and_then(|data| data.get("requiredCapabilities"));
    error.code == MISSING_CLIENT_CAPABILITY && are_declared(required)
}

/// Returns these client `capabilities` with the tasks extension.
pub fn declare(capabilities: &Bytes) -> Bytes {
    let members = |raw: &Bytes| RawObject::parse_checked(raw).unwrap_or_default();
    let mut capabilities = members(capabilities);
    let mut extensions = capabilities.get("extensions").map(members).unwrap_or_default();
    extensions.set(meta::TASKS_EXTENSION, Bytes::from_static(b"{}"));
    capabilities.set("extensions", extensions.to_bytes());
    capabilities.to_bytes()
}

/// Returns `true` if a legacy server runs `tools/call` as tasks (2025-11-25). Else the `execution` of its tools has no
/// meaning.
pub fn are_offered(info: Option<&ServerInfo>) -> bool {
    let members = |raw: &Bytes| RawObject::parse_checked(raw).ok();
    let called = || {
        let tasks = members(info?.capabilities.get("tasks")?)?;
        let tools = members(members(tasks.get("requests")?)?.get("tools")?)?;
        Some(tools.contains("call"))
    };
    called().unwrap_or(false)
}

/// The `execution.taskSupport` of a tool (2025-11-25).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TaskSupport {
    /// The tool never runs as a task.
    #[default]
    Forbidden,
    /// The tool runs as a task if the client asks for it.
    Optional,
    /// The tool always runs as a task.
    Required,
}

impl TaskSupport {
    /// Reads the definition of a tool.
    pub fn of(definition: &RawObject) -> Self {
        let execution = definition.get("execution");
        let execution = execution.and_then(|raw| RawObject::parse_checked(raw).ok());
        match execution.and_then(|execution| Some(object::text(execution.get("taskSupport")?)?.into_owned())) {
            Some(support) if support == "optional" => Self::Optional,
            Some(support) if support == "required" => Self::Required,
            _ => Self::Forbidden,
        }
    }
}
