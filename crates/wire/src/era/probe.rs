//! Detects the era of a server from its response to a modern `server/discover`.

use bytes::Bytes;
use http::StatusCode;

use super::NamedVersion;
use crate::{
    envelope::{self, Incoming, Message, Outcome, ParseLimits},
    error::{ErrorObject, HEADER_MISMATCH, MISSING_CLIENT_CAPABILITY, UNSUPPORTED_PROTOCOL_VERSION},
    object::{self, RawObject},
    scan::Scanner,
    sse::Decoder,
};

/// The result of a probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probe {
    /// The server speaks modern MCP.
    Modern {
        /// The versions that it lists; empty if it lists none.
        supported: Vec<NamedVersion>,
        /// The raw discover result, unless the response is an error.
        discovered: Option<Bytes>,
    },
    /// The server does not: try the handshake.
    Legacy,
    /// Unknown: try again later.
    Unknown,
    /// Unknown until the server gets a credential.
    Unauthorized,
}

/// Evaluates the HTTP response to a probe.
///
/// No single code means legacy: any response that is not modern does, except those that do not depend on the era (401, 403,
/// 408, 429, redirects, 5xx).
pub fn judge_probe(status: StatusCode, content_type: Option<&str>, body: &Bytes) -> Probe {
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => return Probe::Unauthorized,
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => return Probe::Unknown,
        _ if status.is_server_error() || status.is_redirection() || status.is_informational() => {
            return Probe::Unknown;
        }
        _ => {}
    }
    let is_stream = content_type.is_some_and(|value| {
        let essence = value.split(';').next().unwrap_or_default();
        essence.trim().eq_ignore_ascii_case("text/event-stream")
    });
    if is_stream {
        judge_events(body)
    } else {
        judge_stdio_probe(body).unwrap_or(Probe::Legacy)
    }
}

/// Evaluates one line that a stdio server wrote after a probe. Returns `None` if it is not a response: servers that log to
/// stdout are not rare, so other lines mean nothing.
///
/// A timeout, which the caller notices, means legacy on stdio.
pub fn judge_stdio_probe(message: &Bytes) -> Option<Probe> {
    let Ok(Incoming::One(message)) = envelope::parse(message, &ParseLimits::default()) else {
        return None;
    };
    match message {
        Message::Response(response) => Some(judge_outcome(&response.outcome)),
        Message::Request(_) | Message::Notification(_) => None,
    }
}

fn judge_events(body: &Bytes) -> Probe {
    let mut decoder = Decoder::new(body.len());
    decoder.push(body.clone());
    while let Ok(Some(event)) = decoder.next_event() {
        if event.data.is_empty() || !event.is_message() {
            continue;
        }
        if let Some(probe) = judge_stdio_probe(&event.data) {
            return probe;
        }
    }
    Probe::Legacy
}

fn judge_outcome(outcome: &Outcome) -> Probe {
    match outcome {
        Outcome::Result(raw) => match versions(raw, "supportedVersions") {
            Some(supported) => Probe::Modern {
                supported,
                discovered: Some(raw.clone()),
            },
            None => Probe::Legacy,
        },
        Outcome::Error(raw) => match ErrorObject::parse(raw) {
            Some(error) if is_modern(error.code) => Probe::Modern {
                supported: error
                    .data
                    .and_then(|data| versions(&data, "supported"))
                    .unwrap_or_default(),
                discovered: None,
            },
            _ => Probe::Legacy,
        },
    }
}

fn is_modern(code: i64) -> bool {
    matches!(
        code,
        HEADER_MISMATCH | MISSING_CLIENT_CAPABILITY | UNSUPPORTED_PROTOCOL_VERSION
    )
}

/// Returns the strings of the array under `key`, at most 64.
fn versions(raw: &Bytes, key: &str) -> Option<Vec<NamedVersion>> {
    let object = RawObject::parse(raw).ok()?;
    let array = object.get(key)?;
    let mut scanner = Scanner::new(array, crate::scan::MAX_DEPTH);
    scanner.enter(b'[').ok()?;
    let mut versions = Vec::new();
    if scanner.take(b']') {
        return Some(versions);
    }
    while versions.len() < 64 {
        let value = scanner.value().ok()?;
        versions.push(NamedVersion::new(&object::text(&array.slice(value.range))?));
        if !scanner.take(b',') {
            break;
        }
    }
    Some(versions)
}
