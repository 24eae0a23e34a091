//! Reads the message in a request.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Request, StatusCode, header};
use http_body_util::BodyExt;
use hyper::body::{Body as _, Incoming};
use portolan_wire::{
    envelope::{self, Message},
    error::ErrorObject,
};
use tokio::time::timeout;

use super::reply::{self, Reply};

/// The largest body that is accepted, in bytes.
pub(super) const MAX_BODY: usize = 16 << 20;
/// How much of a larger one is read before the connection is closed, in bytes.
const MAX_SKIPPED: usize = 4 * MAX_BODY;
/// How long a body may take.
const BODY_TIMEOUT: Duration = Duration::from_secs(60);

/// Returns the message that was posted, or the response that refuses it.
pub(super) async fn read(request: Request<Incoming>) -> Result<(HeaderMap, Message), Reply> {
    let (head, body) = request.into_parts();
    if let Some(status) = rejection(&head.headers) {
        return Err(reply::empty(status));
    }
    let bytes = match timeout(BODY_TIMEOUT, collect(body)).await {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(status)) => return Err(reply::empty(status)),
        Err(_) => return Err(reply::empty(StatusCode::REQUEST_TIMEOUT)),
    };
    match envelope::parse(&bytes, &envelope::ParseLimits::default()) {
        Ok(envelope::Incoming::One(message)) => Ok((head.headers, message)),
        Ok(envelope::Incoming::Batch(_)) => Err(reply::error(
            StatusCode::BAD_REQUEST,
            None,
            &ErrorObject::invalid_request("batches are not supported"),
        )),
        Err(error) => Err(reply::error(
            StatusCode::BAD_REQUEST,
            error.id.as_ref(),
            &error.object(),
        )),
    }
}

/// Returns the whole body. One that is too large is read on for a while and dropped, because a client that still writes
/// does not read the response.
async fn collect(mut body: Incoming) -> Result<Bytes, StatusCode> {
    let expected = body.size_hint().lower().min(MAX_BODY as u64);
    let mut bytes = BytesMut::with_capacity(usize::try_from(expected).unwrap_or(0));
    let mut seen = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| StatusCode::BAD_REQUEST)?;
        let Some(data) = frame.data_ref() else { continue };
        seen += data.len();
        match seen {
            _ if seen <= MAX_BODY => bytes.extend_from_slice(data),
            _ if seen > MAX_SKIPPED => return Err(StatusCode::PAYLOAD_TOO_LARGE),
            _ => bytes.clear(),
        }
    }
    match seen > MAX_BODY {
        true => Err(StatusCode::PAYLOAD_TOO_LARGE),
        false => Ok(bytes.freeze()),
    }
}

/// Returns the status that refuses a request for its headers; `None` if they are right.
fn rejection(headers: &HeaderMap) -> Option<StatusCode> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let kind = kind.and_then(|kind| kind.split(';').next()).unwrap_or_default().trim();
    if !kind.eq_ignore_ascii_case("application/json") {
        return Some(StatusCode::UNSUPPORTED_MEDIA_TYPE);
    }
    let takes_both = accepts(headers, "application/json") && accepts(headers, "text/event-stream");
    (!takes_both).then_some(StatusCode::NOT_ACCEPTABLE)
}

/// Returns true if the client accepts `kind`.
pub(super) fn accepts(headers: &HeaderMap, kind: &str) -> bool {
    let listed = headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok());
    let mut kinds = listed
        .flat_map(|list| list.split(','))
        .map(|one| one.split(';').next().unwrap_or_default().trim());
    kinds.any(|one| one == "*/*" || one.eq_ignore_ascii_case(kind))
}
