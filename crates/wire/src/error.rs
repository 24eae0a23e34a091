//! JSON-RPC and MCP error codes, the error object, and what becomes of an upstream's error.

mod relay;

#[cfg(test)]
mod tests;

use std::borrow::Cow;

use bytes::{BufMut, Bytes, BytesMut};
use http::StatusCode;

pub use self::relay::{ErrorMapping, to_client};
use crate::{
    era::{Era, ProtocolVersion},
    object::{self, RawObject},
};

/// The text is not JSON.
pub const PARSE_ERROR: i64 = -32700;
/// The JSON is not a message.
pub const INVALID_REQUEST: i64 = -32600;
/// The method is not there.
pub const METHOD_NOT_FOUND: i64 = -32601;
/// The params do not fit; also an unknown tool, prompt or cursor, and a modern missing resource.
pub const INVALID_PARAMS: i64 = -32602;
/// Something broke on this side.
pub const INTERNAL_ERROR: i64 = -32603;
/// A legacy missing resource. Never for modern clients.
pub const RESOURCE_NOT_FOUND: i64 = -32002;
/// A header is missing or says something else than the body.
pub const HEADER_MISMATCH: i64 = -32020;
/// The client did not declare a capability the request needs.
pub const MISSING_CLIENT_CAPABILITY: i64 = -32021;
/// The version is not served.
pub const UNSUPPORTED_PROTOCOL_VERSION: i64 = -32022;
/// 2025-11-25: the user has to visit a URL first. Never for modern clients.
pub const URL_ELICITATION_REQUIRED: i64 = -32042;

/// A JSON-RPC error object.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message} ({code})")]
pub struct ErrorObject {
    /// One of the constants of this module, or a peer's own.
    pub code: i64,
    /// One sentence for people.
    pub message: Cow<'static, str>,
    /// Raw JSON, if there is more to say.
    pub data: Option<Bytes>,
}

impl ErrorObject {
    /// An error without data.
    pub fn new(code: i64, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            message: message.into(),
            data: None,
        }
    }

    /// The same error with raw JSON as its data.
    pub fn with_data(self, data: Bytes) -> Self {
        Self {
            data: Some(data),
            ..self
        }
    }

    /// Reads the raw JSON of an error. A missing message is taken as empty; a missing or odd code
    /// makes it no error object.
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

    /// The raw JSON of this error.
    pub fn to_bytes(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(self.len_hint());
        self.write(&mut out);
        out.freeze()
    }

    /// -32602: the params do not fit.
    pub fn invalid_params(problem: impl Into<Cow<'static, str>>) -> Self {
        Self::new(INVALID_PARAMS, problem)
    }

    /// -32602: there is no such tool, or none this caller may see.
    pub fn unknown_tool(name: &str) -> Self {
        Self::new(INVALID_PARAMS, format!("unknown tool: {name}"))
    }

    /// -32602: there is no such prompt.
    pub fn unknown_prompt(name: &str) -> Self {
        Self::new(INVALID_PARAMS, format!("unknown prompt: {name}"))
    }

    /// No such resource: -32602 for modern clients, -32002 for legacy ones (SEP-2164), with
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

    /// -32600: not a message, or not one that is welcome here.
    pub fn invalid_request(problem: impl Into<Cow<'static, str>>) -> Self {
        Self::new(INVALID_REQUEST, problem)
    }

    /// -32601.
    pub fn method_not_found(method: &str) -> Self {
        Self::new(METHOD_NOT_FOUND, format!("method not found: {method}"))
    }

    /// -32603: something broke; the text must be fit for the caller's eyes.
    pub fn internal(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(INTERNAL_ERROR, message)
    }

    /// -32020: a header is missing or differs from the body.
    pub fn header_mismatch(problem: impl Into<Cow<'static, str>>) -> Self {
        Self::new(HEADER_MISMATCH, problem)
    }

    /// -32021: `required` is the raw JSON of a ClientCapabilities-shaped object.
    pub fn missing_capability(required: Bytes) -> Self {
        let mut data = RawObject::new();
        data.set("requiredCapabilities", required);
        Self::new(MISSING_CLIENT_CAPABILITY, "the client lacks a required capability").with_data(data.to_bytes())
    }

    /// -32022: says which versions are served and which one was asked for.
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

/// The HTTP status an error code travels under, towards a client of this era.
///
/// -32602 is 200 here: an unknown tool is not a broken request. Where the request itself is at
/// fault (no `_meta`), [`EraError::status`](crate::era::EraError::status) says 400.
pub fn http_status(code: i64, era: Era) -> StatusCode {
    match (code, era) {
        (PARSE_ERROR | INVALID_REQUEST, _) => StatusCode::BAD_REQUEST,
        (HEADER_MISMATCH | MISSING_CLIENT_CAPABILITY | UNSUPPORTED_PROTOCOL_VERSION, _) => StatusCode::BAD_REQUEST,
        (METHOD_NOT_FOUND, Era::Modern) => StatusCode::NOT_FOUND,
        _ => StatusCode::OK,
    }
}
