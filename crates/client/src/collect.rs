//! Collects a body within a limit.

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, header};
use http_body::Body;
use http_body_util::BodyExt;
use portolan_wire::{
    envelope::{self, Message, Notification, Outcome, Response},
    error::ErrorObject,
    sse,
};

/// The limits of a server's messages.
const LIMITS: envelope::ParseLimits = envelope::ParseLimits {
    depth: 1024,
    batch: 1024,
};

/// The reason why a body could not be collected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CollectError {
    /// The body is larger than the limit.
    #[error("the body is larger than the limit")]
    TooLarge,
    /// The connection broke off before the end.
    #[error("the body broke off")]
    Broken,
}

/// Collects a body of at most `limit` bytes. A body that arrives in one piece is not copied.
///
/// # Errors
///
/// [`CollectError::TooLarge`] past the limit, [`CollectError::Broken`] when the body fails.
pub async fn body<B>(body: B, limit: usize) -> Result<Bytes, CollectError>
where
    B: Body<Data = Bytes>,
{
    let mut body = std::pin::pin!(body);
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| CollectError::Broken)?.into_data() else {
            continue;
        };
        if first.len().max(rest.len()) + data.len() > limit {
            return Err(CollectError::TooLarge);
        }
        if rest.is_empty() && first.is_empty() {
            first = data;
            continue;
        }
        if rest.is_empty() {
            rest.reserve((first.len() + data.len()).max(16 * 1024));
            rest.extend_from_slice(&first);
        }
        rest.extend_from_slice(&data);
    }
    Ok(if rest.is_empty() { first } else { rest.freeze() })
}

/// Reads an event stream to its end and returns the JSON-RPC response in it; `None` if there is none.
///
/// # Errors
///
/// [`CollectError::TooLarge`] when one event is larger than `limit`, [`CollectError::Broken`] when the body fails.
pub async fn last_response<B>(body: B, limit: usize) -> Result<Option<Bytes>, CollectError>
where
    B: Body<Data = Bytes>,
{
    response_in_events(body, limit, |_| {}).await
}

/// As [`last_response`]. `other` takes the notifications before the response.
async fn response_in_events<B>(
    body: B,
    limit: usize,
    mut other: impl FnMut(Notification),
) -> Result<Option<Bytes>, CollectError>
where
    B: Body<Data = Bytes>,
{
    let mut body = std::pin::pin!(body);
    let mut decoder = sse::Decoder::new(limit);
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame.map_err(|_| CollectError::Broken)?.into_data() {
            decoder.push(data);
        }
        while let Some(event) = decoder.next_event().map_err(|_| CollectError::TooLarge)? {
            if !event.is_message() {
                continue;
            }
            let Ok(incoming) = envelope::parse(&event.data, &LIMITS) else {
                continue;
            };
            let mut response = None;
            for message in incoming.into_messages() {
                match message {
                    Message::Response(found) => response = Some(found),
                    Message::Notification(notification) => other(notification),
                    Message::Request(_) => {}
                }
            }
            if let Some(response) = response {
                return Ok(Some(alone(response, event.data)));
            }
        }
    }
    Ok(None)
}

/// Returns the one response to a small request, of a JSON body or an event stream. `other` takes the notifications before it.
pub(crate) async fn message<B>(
    headers: &HeaderMap,
    body: B,
    limit: usize,
    other: impl FnMut(Notification),
) -> Option<Bytes>
where
    B: Body<Data = Bytes>,
{
    if !is_events(headers) {
        return self::body(body, limit).await.ok();
    }
    response_in_events(body, limit, other).await.ok().flatten()
}

/// Returns the outcome of a JSON-RPC response.
pub(crate) fn outcome(text: &Bytes) -> Option<Outcome> {
    let messages = envelope::parse(text, &LIMITS).ok()?.into_messages();
    let mut responses = messages.into_iter().filter_map(|message| match message {
        Message::Response(response) => Some(response.outcome),
        _ => None,
    });
    responses.next()
}

/// Returns the text of a response, which came in `text`.
fn alone(response: Response, text: Bytes) -> Bytes {
    if !text.trim_ascii_start().starts_with(b"[") {
        return text;
    }
    let Some(id) = &response.id else { return text };
    match response.outcome {
        Outcome::Result(raw) => envelope::result(id, &raw),
        Outcome::Error(raw) => match ErrorObject::parse(&raw) {
            Some(error) => envelope::error(Some(id), &error),
            None => text,
        },
    }
}

/// Returns a media type without its parameters.
pub fn essence(value: &str) -> &str {
    value.split(';').next().unwrap_or_default().trim()
}

/// Whether a body is an event stream.
pub(crate) fn is_events(headers: &HeaderMap) -> bool {
    is_of_type(headers, "text/event-stream")
}

/// Returns `true` if the body is of this media type.
pub(crate) fn is_of_type(headers: &HeaderMap, wanted: &str) -> bool {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    value.is_some_and(|value| value == wanted || essence(value).eq_ignore_ascii_case(wanted))
}
