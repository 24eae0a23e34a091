//! Checks that a response is the expected one.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::Result;
use crate::cell::Era;

/// The expected response of a call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expected<'a> {
    pub(crate) id: u64,
    pub(crate) era: Era,
    /// `None` if any result is accepted.
    pub(crate) text: Option<&'a str>,
}

#[derive(Debug, Deserialize)]
struct RpcResponse<'a> {
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    result: Option<Outcome<'a>>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
}

#[derive(Debug, Deserialize)]
struct Outcome<'a> {
    #[serde(borrow, default)]
    content: Vec<Content<'a>>,
    #[serde(rename = "isError", default)]
    is_error: bool,
    #[serde(rename = "resultType", borrow, default)]
    result_type: Option<Cow<'a, str>>,
}

#[derive(Debug, Deserialize)]
struct Content<'a> {
    #[serde(borrow, default)]
    text: Cow<'a, str>,
}

/// Checks a body that is one JSON-RPC response.
pub(crate) fn message(body: &[u8], expected: Expected<'_>) -> Result<()> {
    let response: RpcResponse<'_> =
        serde_json::from_slice(body).map_err(|problem| format!("{problem} in {}", shown(body)))?;
    if let Some(error) = response.error {
        return Err(format!("error {}", error.get()).into());
    }
    if response.id.and_then(|id| id.get().parse().ok()) != Some(expected.id) {
        return Err(format!("wrong id: wanted {}, got {}", expected.id, shown(body)).into());
    }
    let result = response
        .result
        .ok_or_else(|| format!("neither result nor error: {}", shown(body)))?;
    if result.is_error || (expected.era == Era::Modern && result.result_type.as_deref() != Some("complete")) {
        return Err(format!("not a complete result: {}", shown(body)).into());
    }
    match expected.text {
        Some(text) if !matches!(&result.content[..], [content] if content.text == text) => {
            Err(format!("wrong text: wanted {text:?}, got {}", shown(body)).into())
        }
        _ => Ok(()),
    }
}

/// Checks a body that is an event stream, whose last message is the response.
pub(crate) fn events(body: &[u8], expected: Expected<'_>) -> Result<()> {
    let mut data = body
        .split(|byte| *byte == b'\n')
        .filter_map(|line| line.strip_prefix(b"data:"));
    let last = data.rfind(|data| data.trim_ascii().starts_with(b"{"));
    message(last.ok_or_else(|| format!("no message in {}", shown(body)))?, expected)
}

/// Returns the id of a response.
pub(crate) fn id_of(body: &[u8]) -> Result<u64> {
    let response: RpcResponse<'_> =
        serde_json::from_slice(body).map_err(|problem| format!("{problem} in {}", shown(body)))?;
    let id = response.id.and_then(|id| id.get().parse().ok());
    id.ok_or_else(|| format!("no id: {}", shown(body)).into())
}

fn shown(body: &[u8]) -> String {
    String::from_utf8_lossy(&body[..body.len().min(400)]).into_owned()
}
