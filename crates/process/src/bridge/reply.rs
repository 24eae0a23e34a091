//! Renders all HTTP responses.

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::stream::{BoxStream, StreamExt};
use http::{
    HeaderValue, Response, StatusCode,
    header::{CACHE_CONTROL, CONNECTION, CONTENT_TYPE},
};
use portolan_core::{Error, RpcResponse};
use portolan_wire::{
    envelope::{self, one_line},
    era::Era,
    error::{ErrorObject, INTERNAL_ERROR, http_status},
    id::RequestId,
    sse,
};

use super::body::Body;

pub(super) type Reply = Response<Body>;

/// A JSON-RPC message whose longest part is not copied.
pub(super) type Pieces = [Bytes; 3];

/// Returns a response without content.
pub(super) fn empty(status: StatusCode) -> Reply {
    let mut reply = Response::new(Body::pieces([]));
    *reply.status_mut() = status;
    reply
}

/// Returns a response with one JSON text.
pub(super) fn json(status: StatusCode, pieces: impl IntoIterator<Item = Bytes>) -> Reply {
    let mut reply = Response::new(Body::pieces(pieces));
    *reply.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    reply.headers_mut().insert(CONTENT_TYPE, json);
    reply
}

/// Returns a response with a JSON-RPC error.
pub(super) fn error(status: StatusCode, id: Option<&RequestId>, object: &ErrorObject) -> Reply {
    json(status, [envelope::error(id, object)])
}

/// Returns the refusal of calls during shutdown.
pub(super) fn shutdown() -> Reply {
    let object = ErrorObject::new(INTERNAL_ERROR, "the server is being stopped");
    let mut reply = error(StatusCode::SERVICE_UNAVAILABLE, None, &object);
    let close = HeaderValue::from_static("close");
    reply.headers_mut().insert(CONNECTION, close);
    reply
}

/// Returns an event stream.
pub(super) fn stream(events: BoxStream<'static, Vec<Bytes>>) -> Reply {
    let pieces = events.flat_map(futures_util::stream::iter);
    let mut reply = Response::new(Body::Stream(pieces.boxed()));
    let headers = reply.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    reply
}

/// Returns one event with a message.
pub(super) fn event(message: impl IntoIterator<Item = Bytes>) -> Vec<Bytes> {
    let mut pieces = vec![Bytes::from_static(sse::EVENT_START)];
    pieces.extend(message.into_iter().map(|piece| one_line(&piece)));
    pieces.push(Bytes::from_static(sse::EVENT_END));
    pieces
}

/// Returns a response of the server as a message, with the caller's id.
pub(super) fn answer(id: &RequestId, answer: RpcResponse) -> Pieces {
    let (member, raw) = match answer {
        RpcResponse::Result(raw) => ("result", raw),
        RpcResponse::Error(raw) => ("error", raw),
    };
    let mut head = BytesMut::with_capacity(48 + id.as_raw().len());
    head.put_slice(br#"{"jsonrpc":"2.0","id":"#);
    head.put_slice(id.as_raw());
    head.put_slice(b",\"");
    head.put_slice(member.as_bytes());
    head.put_slice(b"\":");
    [head.freeze(), raw, Bytes::from_static(b"}")]
}

/// Returns the HTTP status of a response of the server.
pub(super) fn status(era: Era, answer: &RpcResponse) -> StatusCode {
    match answer {
        RpcResponse::Result(_) => StatusCode::OK,
        RpcResponse::Error(_) if era == Era::Legacy => StatusCode::OK,
        RpcResponse::Error(raw) => ErrorObject::parse(raw).map_or(StatusCode::OK, |error| http_status(error.code, era)),
    }
}

/// Returns the JSON-RPC error of a call without a response.
pub(super) fn failure(why: &Error) -> ErrorObject {
    let object = ErrorObject::new(INTERNAL_ERROR, why.to_string());
    let Error::NotReady { failure, .. } = why else {
        return object;
    };
    match serde_json::to_vec(&serde_json::json!({ "failure": failure })) {
        Ok(data) => object.with_data(data.into()),
        Err(_) => object,
    }
}

/// Returns the HTTP status of a call without a response. `sent` if the server may have seen the request.
pub(super) fn failure_status(why: &Error, sent: bool) -> StatusCode {
    match why {
        Error::Timeout { .. } => StatusCode::GATEWAY_TIMEOUT,
        Error::NotReady { .. } if sent => StatusCode::BAD_GATEWAY,
        Error::NotReady { .. } | Error::Exhausted { .. } | Error::Unavailable { .. } => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}
