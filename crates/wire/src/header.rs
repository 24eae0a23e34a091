//! The HTTP headers of MCP: their names, how values are written, and how they mirror the body.

mod annotation;
mod param;
mod value;

#[cfg(test)]
mod tests;

use std::borrow::Cow;

use http::{HeaderMap, HeaderName, HeaderValue};

pub use self::annotation::{AnnotationError, ParamHeader, param_headers};
pub use self::param::{check_params, write_params};
pub use self::value::{decode, encode};
use crate::{
    method::Method,
    object::{self, RawObject},
    version::NamedVersion,
};

/// `MCP-Protocol-Version`
pub const PROTOCOL_VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
/// `Mcp-Method`
pub const METHOD: HeaderName = HeaderName::from_static("mcp-method");
/// `Mcp-Name`
pub const NAME: HeaderName = HeaderName::from_static("mcp-name");
/// `Mcp-Session-Id`, legacy.
pub const SESSION_ID: HeaderName = HeaderName::from_static("mcp-session-id");
/// `Last-Event-ID`, legacy.
pub const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// The prefix of every `Mcp-Param-…` header.
pub const PARAM_PREFIX: &str = "mcp-param-";

/// Why the headers differ from the body: -32020.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HeaderError {
    /// It is required and missing.
    #[error("header {0} is missing")]
    Missing(HeaderName),
    /// It occurs more than once.
    #[error("header {0} occurs more than once")]
    Duplicate(HeaderName),
    /// Its value is malformed.
    #[error("header {0} has a malformed value")]
    Malformed(HeaderName),
    /// It differs from the body, or the body has no such member.
    #[error("header {0} differs from the body")]
    Mismatch(HeaderName),
}

/// Returns the only value of a header, as it stands.
///
/// # Errors
///
/// [`HeaderError`] if it occurs more than once.
pub fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a HeaderValue>, HeaderError> {
    let mut values = headers.get_all(name).iter();
    let value = values.next();
    if values.next().is_some() {
        return Err(HeaderError::Duplicate(name.clone()));
    }
    Ok(value)
}

/// Returns the only value of a header, decoded.
///
/// # Errors
///
/// [`HeaderError`] if it occurs more than once or is malformed.
pub fn single_decoded<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<Cow<'a, str>>, HeaderError> {
    match single(headers, name)? {
        None => Ok(None),
        Some(value) => match decode(value) {
            Some(text) => Ok(Some(text)),
            None => Err(HeaderError::Malformed(name.clone())),
        },
    }
}

/// Returns the version header.
///
/// # Errors
///
/// [`HeaderError`] if it occurs more than once or is malformed.
pub fn version(headers: &HeaderMap) -> Result<Option<NamedVersion>, HeaderError> {
    match single(headers, &PROTOCOL_VERSION)? {
        None => Ok(None),
        Some(value) => match value.to_str() {
            Ok(text) => Ok(Some(NamedVersion::new(text.trim()))),
            Err(_) => Err(HeaderError::Malformed(PROTOCOL_VERSION)),
        },
    }
}

/// Returns the member of params that `Mcp-Name` repeats for this method.
pub fn mirrored_member(method: &Method) -> Option<&'static str> {
    match method {
        Method::ToolsCall | Method::PromptsGet => Some("name"),
        Method::ResourcesRead => Some("uri"),
        // SEP-2663, the Tasks extension.
        Method::TasksGet | Method::TasksUpdate | Method::TasksCancel => Some("taskId"),
        _ => None,
    }
}

/// Returns the value that `Mcp-Name` has to have for this request, if any.
pub fn mirrors<'a>(method: &Method, params: &'a RawObject) -> Option<Cow<'a, str>> {
    object::text(params.get(mirrored_member(method)?)?)
}

/// Checks the version header against the body. With `strict`, the header is required.
///
/// # Errors
///
/// [`HeaderError`] if the header is missing though required, malformed, or differs from the body.
pub fn check_version(
    in_header: Option<&NamedVersion>,
    in_body: Option<&NamedVersion>,
    strict: bool,
) -> Result<(), HeaderError> {
    match (in_header, in_body) {
        (None, _) if strict => Err(HeaderError::Missing(PROTOCOL_VERSION)),
        (Some(header), Some(body)) if header != body => Err(HeaderError::Mismatch(PROTOCOL_VERSION)),
        _ => Ok(()),
    }
}

/// Checks `Mcp-Method` and `Mcp-Name` against the body. With `strict`, they are required.
///
/// If the body has no name, a header with one is an error and its absence is not: the params are checked elsewhere.
///
/// # Errors
///
/// [`HeaderError`] if a header is missing though required, malformed, or differs from the body.
pub fn check_mirrors(
    headers: &HeaderMap,
    method: &Method,
    params: &RawObject,
    strict: bool,
) -> Result<(), HeaderError> {
    check(headers, &METHOD, Some(method.as_str()), strict)?;
    if mirrored_member(method).is_some() {
        check(headers, &NAME, mirrors(method, params).as_deref(), strict)?;
    }
    Ok(())
}

/// Returns the headers of an outgoing request with this method and params.
pub fn write_mirrors(headers: &mut HeaderMap, method: &Method, params: &RawObject) {
    let called = match method {
        // The one that is called most needs no text of its own.
        Method::ToolsCall => HeaderValue::from_static("tools/call"),
        other => encode(other.as_str()),
    };
    headers.insert(METHOD, called);
    if let Some(name) = mirrors(method, params) {
        headers.insert(NAME, encode(&name));
    }
}

fn check(headers: &HeaderMap, name: &HeaderName, in_body: Option<&str>, strict: bool) -> Result<(), HeaderError> {
    match (single_decoded(headers, name)?, in_body) {
        (Some(header), Some(body)) if header == body => Ok(()),
        (Some(_), _) => Err(HeaderError::Mismatch(name.clone())),
        (None, Some(_)) if strict => Err(HeaderError::Missing(name.clone())),
        (None, _) => Ok(()),
    }
}
