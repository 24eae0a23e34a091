//! JSON-RPC and MCP error codes, the error object, and the mapping of an upstream's errors.

mod relay;

#[cfg(test)]
mod tests;

use std::borrow::Cow;

use bytes::{BufMut, Bytes, BytesMut};
use http::StatusCode;

pub use self::relay::{ErrorMapping, to_client};
use crate::{
    object::{self, RawObject},
    version::{Era, ProtocolVersion},
};

/// The text is not JSON.
pub const PARSE_ERROR: i64 = -32700;
/// The JSON is not a message.
pub const INVALID_REQUEST: i64 = -32600;
/// The method is unknown.
pub const METHOD_NOT_FOUND: i64 = -32601;
/// The params are invalid; also an unknown tool, prompt or cursor, and a modern missing resource.
pub const INVALID_PARAMS: i64 = -32602;
/// An internal error of the sender.
pub const INTERNAL_ERROR: i64 = -32603;
/// A legacy missing resource. Never for modern clients.
pub const RESOURCE_NOT_FOUND: i64 = -32002;
/// A header is missing or differs from the body.
pub const HEADER_MISMATCH: i64 = -32020;
/// The client did not declare a capability that the request needs.
pub const MISSING_CLIENT_CAPABILITY: i64 = -32021;
/// The version is not served.
pub const UNSUPPORTED_PROTOCOL_VERSION: i64 = -32022;
/// 2025-11-25: the user has to visit a URL first. Never for modern clients.
pub const URL_ELICITATION_REQUIRED: i64 = -32042;

/// A JSON-RPC error object.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message} ({code})")]
pub struct ErrorObject {
    /// One of the constants of this module, or a code of the peer's own.
    pub code: i64,
    /// One sentence for people.
    pub message: Cow<'static, str>,
    /// More about the error, as raw JSON.
    pub data: Option<Bytes>,
}

impl ErrorObject {
    /// Returns an error without data.
    pub fn new(code: i64, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            message: message.into(),
            data: None,
        }
    }

    /// Sets the data, as raw JSON.
    pub fn with_data(self, data: Bytes) -> Self {
        Self {
            data: Some(data),
            ..self
        }
    }

    /// Parses the raw JSON of an error. A missing message counts as empty. Returns `None` if the code is missing or not an
    /// integer.
    pub fn parse(raw: &Bytes) -> Option<Self> {
        let members = RawObject::parse(raw).ok()?;
        let code = std::str::from_utf8(members.get("code")?).ok()?;
        Some(Self {
            code: code.parse().ok()?,
            message: members
                .get("message")
                .and_then(object::text)
                .map_or(Cow::Borrowed(""), |text| Cow::Owned(text.into_owned())),
            data: members.get("data").cloned(),
        })
    }

    /// Returns this error as raw JSON.
    pub fn to_bytes(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(self.len_hint());
        self.write(&mut out);
        out.freeze()
    }

    /// Returns -32602: the params are invalid.
    pub fn invalid_params(problem: impl Into<Cow<'static, str>>) -> Self {
        Self::new(INVALID_PARAMS, problem)
    }

    /// Returns -32602: there is no such tool, or none that this caller may see.
    pub fn unknown_tool(name: &str) -> Self {
        Self::new(INVALID_PARAMS, format!("unknown tool: {name}"))
    }

    /// Returns -32602: there is no such prompt.
    pub fn unknown_prompt(name: &str) -> Self {
        Self::new(INVALID_PARAMS, format!("unknown prompt: {name}"))
    }

    /// Returns the error for a missing resource: -32602 for modern clients, -32002 for legacy ones (SEP-2164), with
    /// `data.uri`.
    pub fn unknown_resource(uri: &str, era: Era) -> Self {
        let code = match era {
            Era::Modern => INVALID_PARAMS,
            Era::Legacy => RESOURCE_NOT_FOUND,
        };
        let mut data = RawObject::new();
        data.set("uri", object::quote(uri));
        Self::new(code, "resource not found").with_data(data.to_bytes())
    }

    /// Returns -32600: not a message, or not one that is valid here.
    pub fn invalid_request(problem: impl Into<Cow<'static, str>>) -> Self {
        Self::new(INVALID_REQUEST, problem)
    }

    /// Returns -32601: the method is unknown.
    pub fn method_not_found(method: &str) -> Self {
        Self::new(METHOD_NOT_FOUND, format!("method not found: {method}"))
    }

    /// Returns -32603: an internal error. The caller sees the text.
    pub fn internal(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(INTERNAL_ERROR, message)
    }

    /// Returns -32020: a header is missing or differs from the body.
    pub fn header_mismatch(problem: impl Into<Cow<'static, str>>) -> Self {
        Self::new(HEADER_MISMATCH, problem)
    }

    /// Returns -32021: a capability is missing. `required` is the raw JSON of a ClientCapabilities-shaped object.
    pub fn missing_capability(required: Bytes) -> Self {
        let mut data = RawObject::new();
        data.set("requiredCapabilities", required);
        Self::new(MISSING_CLIENT_CAPABILITY, "the client lacks a required capability").with_data(data.to_bytes())
    }

    /// Returns -32022: the version is not served, with those that are and the requested one.
    pub fn unsupported_version(supported: &[ProtocolVersion], requested: &str) -> Self {
        let mut data = RawObject::new();
        data.set("supported", ProtocolVersion::list(supported));
        data.set("requested", object::quote(requested));
        Self::new(UNSUPPORTED_PROTOCOL_VERSION, "unsupported protocol version").with_data(data.to_bytes())
    }

    pub(crate) fn len_hint(&self) -> usize {
        64 + self.message.len() + self.data.as_ref().map_or(0, Bytes::len)
    }

    pub(crate) fn write(&self, out: &mut BytesMut) {
        out.put_slice(br#"{"code":"#);
        out.put_slice(itoa::Buffer::new().format(self.code).as_bytes());
        out.put_slice(br#","message":"#);
        object::put_quoted(out, &self.message);
        if let Some(data) = &self.data {
            out.put_slice(br#","data":"#);
            out.put_slice(data);
        }
        out.put_u8(b'}');
    }
}

/// Returns the HTTP status of an error code, for a client of this era.
///
/// -32602 is 200 here: an unknown tool is not a malformed request. If the request itself is invalid (no `_meta`), the
/// status is 400, by [`EraError::status`](crate::era::EraError::status).
pub fn http_status(code: i64, era: Era) -> StatusCode {
    match (code, era) {
        (PARSE_ERROR | INVALID_REQUEST, _) => StatusCode::BAD_REQUEST,
        (HEADER_MISMATCH | MISSING_CLIENT_CAPABILITY | UNSUPPORTED_PROTOCOL_VERSION, _) => StatusCode::BAD_REQUEST,
        (METHOD_NOT_FOUND, Era::Modern) => StatusCode::NOT_FOUND,
        _ => StatusCode::OK,
    }
}
