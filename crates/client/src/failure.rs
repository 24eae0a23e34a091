//! Writes errors as JSON-RPC errors and tool results.

use bytes::Bytes;
use portolan_core::{Error, FailureKind};
use portolan_wire::{
    envelope,
    era::Era,
    error::ErrorObject,
    id::RequestId,
    object::{self, RawObject},
};

/// The key of the typed failure: in `_meta` of a tool result, in `data` of an error.
pub const FAILURE_KEY: &str = "dev.portolan/failure";

/// The key of the definitions that were left out of a list, in its `_meta`: by server, the problem of each by its name.
pub const OMITTED_KEY: &str = "dev.portolan/omitted";

/// Returns the JSON-RPC error for an error outside of a tool call.
pub fn error_object(error: &Error) -> ErrorObject {
    let object = match error {
        Error::Invalid { .. } => ErrorObject::invalid_params(explain(error)),
        _ => ErrorObject::internal(explain(error)),
    };
    let mut data = RawObject::new();
    data.set(FAILURE_KEY, failure(error));
    object.with_data(data.to_bytes())
}

/// Returns the tool result for an error: text for a model and a person, a type for a program.
///
/// Failures of a server are tool results and not JSON-RPC errors, so that a model sees them (2026-07-28, server/tools,
/// error handling).
pub fn tool_failure(era: Era, error: &Error) -> Bytes {
    let mut text = RawObject::new();
    text.set("type", Bytes::from_static(b"\"text\""));
    text.set("text", object::quote(&explain(error)));
    let mut content = Vec::from(*b"[");
    content.extend_from_slice(&text.to_bytes());
    content.push(b']');
    let mut meta = RawObject::new();
    meta.set(FAILURE_KEY, failure(error));
    let mut result = RawObject::new();
    if era == Era::Modern {
        result.set("resultType", Bytes::from_static(b"\"complete\""));
    }
    result.set("content", content.into());
    result.set("isError", Bytes::from_static(b"true"));
    result.set("_meta", meta.to_bytes());
    result.to_bytes()
}

/// Returns the response for an error: a tool result for `tools/call`, a JSON-RPC error for other methods.
pub fn response(era: Era, is_tool: bool, id: &RequestId, error: &Error) -> Bytes {
    if is_tool {
        envelope::result(id, &tool_failure(era, error))
    } else {
        envelope::error(Some(id), &error_object(error))
    }
}

/// Returns one line: the error and its remedy.
fn explain(error: &Error) -> String {
    match error.remedy() {
        Some(remedy) => format!("{error}; {remedy}"),
        None if error.is_retryable() => format!("{error}; try again"),
        None => error.to_string(),
    }
}

fn failure(error: &Error) -> Bytes {
    let cause = match error {
        Error::NotReady { failure, .. } => serde_json::to_string(&failure.kind).unwrap_or_default(),
        Error::Timeout { .. } => serde_json::to_string(&FailureKind::Timeout).unwrap_or_default(),
        Error::Exhausted { .. } => "\"overloaded\"".into(),
        Error::Denied { .. } => "\"denied\"".into(),
        Error::Invalid { .. } => "\"invalid\"".into(),
        _ => "\"internal\"".into(),
    };
    let retryable = if error.is_retryable() { "true" } else { "false" };
    let mut object = RawObject::new();
    object.set("cause", cause.into());
    object.set("retryable", Bytes::from_static(retryable.as_bytes()));
    object.to_bytes()
}
