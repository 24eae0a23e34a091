//! Reads a request until it is one message.

use std::time::Duration;

use http::{HeaderMap, Request, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use hyper::body::{Body as _, Incoming};
use portolan_wire::{
    envelope::{self, Message},
    error::ErrorObject,
};
use tokio::time::timeout;

use super::reply::{self, Reply};

/// The largest body that is taken.
pub(super) const LARGEST: usize = 16 << 20;
/// How long a body may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// The message that was posted, or what it is refused with.
pub(super) async fn read(request: Request<Incoming>) -> Result<(HeaderMap, Message), Reply> {
    let (head, body) = request.into_parts();
    check(&head.headers)?;
    if body.size_hint().lower() > LARGEST as u64 {
        return Err(reply::empty(StatusCode::PAYLOAD_TOO_LARGE));
    }
    let collected = timeout(PATIENCE, Limited::new(body, LARGEST).collect()).await;
    let bytes = match collected {
        Ok(Ok(collected)) => collected.to_bytes(),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
            return Err(reply::empty(StatusCode::PAYLOAD_TOO_LARGE));
        }
        Ok(Err(_)) => return Err(reply::empty(StatusCode::BAD_REQUEST)),
        Err(_) => return Err(reply::empty(StatusCode::REQUEST_TIMEOUT)),
    };
    match envelope::parse(&bytes, &envelope::Limits::default()) {
        Ok(envelope::Incoming::One(message)) => Ok((head.headers, message)),
        Ok(envelope::Incoming::Batch(_)) => Err(reply::error(
            StatusCode::BAD_REQUEST,
            None,
            &ErrorObject::invalid_request("batches are not taken"),
        )),
        Err(error) => Err(reply::error(StatusCode::BAD_REQUEST, error.id.as_ref(), &error.object())),
    }
}

fn check(headers: &HeaderMap) -> Result<(), Reply> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let kind = kind.and_then(|kind| kind.split(';').next()).unwrap_or_default().trim();
    if !kind.eq_ignore_ascii_case("application/json") {
        return Err(reply::empty(StatusCode::UNSUPPORTED_MEDIA_TYPE));
    }
    match accepts(headers, "application/json") && accepts(headers, "text/event-stream") {
        true => Ok(()),
        false => Err(reply::empty(StatusCode::NOT_ACCEPTABLE)),
    }
}

/// Whether the client takes `kind`.
pub(super) fn accepts(headers: &HeaderMap, kind: &str) -> bool {
    let listed = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut kinds = listed.flat_map(|list| list.split(',')).map(|one| one.split(';').next().unwrap_or_default().trim());
    kinds.any(|one| one == "*/*" || one.eq_ignore_ascii_case(kind))
}
