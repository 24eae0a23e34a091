//! Checks the headers of a request, and reads its body within limits of size and time.

use std::{pin::Pin, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use http_body::Body;
use http_body_util::BodyExt;
use portolan_client::collect::{self, CollectError, essence};
use portolan_wire::{envelope::Message, header as mcp};

use crate::{config::GatewayConfig, reply::Rejection};

/// The bounds within which the body of a refused request is read: its size, how long in all, and between two pieces.
const DRAIN_BYTES: usize = 64 << 20;
const DRAIN_TIME: Duration = Duration::from_secs(10);
const DRAIN_PAUSE: Duration = Duration::from_millis(500);

/// Checks the content type, content encoding and `Accept` headers: JSON in, JSON or events out.
pub(crate) fn check_types(headers: &HeaderMap) -> Result<(), Rejection> {
    if is_usual(headers) {
        return Ok(());
    }
    let sends = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    if !sends.is_some_and(|value| essence(value).eq_ignore_ascii_case("application/json")) {
        return Err(Rejection::http(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "the content type must be application/json",
        ));
    }
    let encoded = headers
        .get(header::CONTENT_ENCODING)
        .is_some_and(|value| value.as_bytes() != b"identity");
    if encoded {
        return Err(Rejection::http(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "content-encoding is not supported; send the body unencoded",
        ));
    }
    if accepts(headers, "application", "json") && accepts(headers, "text", "event-stream") {
        return Ok(());
    }
    Err(Rejection::http(
        StatusCode::NOT_ACCEPTABLE,
        "accept must list application/json and text/event-stream",
    ))
}

/// Returns whether the headers are exactly those of most clients: a fast path.
fn is_usual(headers: &HeaderMap) -> bool {
    let only = |name| {
        let mut values = headers.get_all(name).iter();
        values
            .next()
            .filter(|_| values.next().is_none())
            .map(HeaderValue::as_bytes)
    };
    only(header::CONTENT_TYPE) == Some(b"application/json")
        && only(header::ACCEPT) == Some(b"application/json, text/event-stream")
        && !headers.contains_key(header::CONTENT_ENCODING)
}

/// Reads the body.
pub(crate) async fn read<B>(config: &GatewayConfig, headers: &HeaderMap, body: B) -> Result<Bytes, Rejection>
where
    B: Body<Data = Bytes>,
{
    let limit = config.limits.request_bytes;
    let too_large = || {
        Rejection::http(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("the body is larger than {limit} bytes"),
        )
    };
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|length| length > limit) {
        return Err(too_large());
    }
    match tokio::time::timeout(config.timeouts.body, collect::body(body, limit)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(CollectError::TooLarge)) => Err(too_large()),
        Ok(Err(_)) => Err(Rejection::http(StatusCode::BAD_REQUEST, "the body was cut off")),
        Err(_) => Err(Rejection::http(StatusCode::REQUEST_TIMEOUT, "the body took too long")),
    }
}

/// Reads the rest of the body of a request that is refused. A client that writes its whole body first can read the refusal
/// only then: if the connection were closed before, it would see a reset (RFC 9112 9.6).
pub(crate) async fn drain<B>(mut body: Pin<&mut B>)
where
    B: Body<Data = Bytes>,
{
    let read = async {
        let mut size = 0;
        // A client that pauses waits for the response.
        while let Ok(Some(Ok(frame))) = tokio::time::timeout(DRAIN_PAUSE, body.frame()).await {
            size += frame.data_ref().map_or(0, Bytes::len);
            if size > DRAIN_BYTES || body.is_end_stream() {
                break;
            }
        }
    };
    let _ = tokio::time::timeout(DRAIN_TIME, read).await;
}

/// Returns whether the headers name a session. With a modern version, the header has no meaning (2026-07-28,
/// basic/transports).
pub(crate) fn names_session(headers: &HeaderMap) -> bool {
    let is_modern = || mcp::version(headers).is_ok_and(|version| version.is_some_and(|named| named.is_modern()));
    headers.contains_key(mcp::SESSION_ID) && !is_modern()
}

/// Rejects the id `null`: the message would be taken for a notification, and its sender would wait for a response.
pub(crate) fn check_id(message: &Message) -> Result<(), Rejection> {
    match message {
        Message::Notification(notification) if notification.null_id => {
            Err(Rejection::http(StatusCode::BAD_REQUEST, "an id must not be null"))
        }
        _ => Ok(()),
    }
}

/// Returns whether the client accepts a media type.
pub(crate) fn accepts(headers: &HeaderMap, kind: &str, subtype: &str) -> bool {
    let mut values = headers.get_all(header::ACCEPT).iter().peekable();
    if values.peek().is_none() {
        // Without an Accept header, any type is accepted (RFC 9110 12.5.1).
        return true;
    }
    values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter(|range| !is_refused(range))
        .filter_map(|range| essence(range).split_once('/'))
        .any(|(k, s)| (k == "*" || k.eq_ignore_ascii_case(kind)) && (s == "*" || s.eq_ignore_ascii_case(subtype)))
}

/// Returns whether a media range has quality 0: "not acceptable" (RFC 9110 12.4.2).
fn is_refused(range: &str) -> bool {
    range
        .split(';')
        .skip(1)
        .filter_map(|parameter| parameter.split_once('='))
        .any(|(name, value)| name.trim().eq_ignore_ascii_case("q") && value.trim().parse::<f32>() == Ok(0.0))
}
