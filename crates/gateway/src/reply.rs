//! The HTTP responses of a gateway: rejections, JSON, and event streams.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use portolan_core::{AuthError, Challenge, GatewayName, Scope};
use portolan_wire::{
    envelope::{self, ParseError},
    era::{Era, EraError},
    error::{self as wire_error, ErrorObject},
    id::RequestId,
    sse,
};

use crate::body::Body;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const EVENT_STREAM: HeaderValue = HeaderValue::from_static("text/event-stream");

/// The error response to a request. Boxed, because it is rare and large.
#[derive(Debug)]
pub(crate) struct Rejection(Box<Refused>);

#[derive(Debug)]
struct Refused {
    status: StatusCode,
    id: Option<RequestId>,
    error: ErrorObject,
    challenges: Vec<HeaderValue>,
    allow: Option<&'static str>,
}

impl Rejection {
    /// Creates a rejection with an HTTP status and a JSON-RPC error.
    pub(crate) fn new(status: StatusCode, error: ErrorObject) -> Self {
        Self(Box::new(Refused {
            status,
            id: None,
            error,
            challenges: Vec::new(),
            allow: None,
        }))
    }

    /// Creates a rejection of the HTTP request itself: code -32600.
    pub(crate) fn http(status: StatusCode, problem: impl Into<String>) -> Self {
        Self::new(status, ErrorObject::invalid_request(problem.into()))
    }

    /// Sets the id of the rejected request.
    pub(crate) fn with_id(mut self, id: Option<RequestId>) -> Self {
        self.0.id = id;
        self
    }

    /// Adds `WWW-Authenticate` challenges.
    pub(crate) fn with_challenges(mut self, challenges: Vec<HeaderValue>) -> Self {
        self.0.challenges = challenges;
        self
    }

    /// Creates a 405 with the allowed methods.
    pub(crate) fn method(allow: &'static str) -> Self {
        let mut rejection = Self::http(StatusCode::METHOD_NOT_ALLOWED, format!("this endpoint takes {allow}"));
        rejection.0.allow = Some(allow);
        rejection
    }

    /// Creates a 405 for a GET without a stream.
    pub(crate) fn no_stream(problem: &'static str) -> Self {
        let mut rejection = Self::http(StatusCode::METHOD_NOT_ALLOWED, problem);
        rejection.0.allow = Some("POST, DELETE");
        rejection
    }

    /// Returns the JSON-RPC error message.
    pub(crate) fn message(&self) -> Bytes {
        envelope::error(self.0.id.as_ref(), &self.0.error)
    }

    /// Returns the HTTP response.
    pub(crate) fn into_response(self) -> Response<Body> {
        let mut response = json(self.0.status, self.message());
        for challenge in self.0.challenges {
            response.headers_mut().append(header::WWW_AUTHENTICATE, challenge);
        }
        if let Some(allow) = self.0.allow {
            response
                .headers_mut()
                .insert(header::ALLOW, HeaderValue::from_static(allow));
        }
        response
    }
}

impl From<ParseError> for Rejection {
    fn from(fault: ParseError) -> Self {
        Self::new(StatusCode::BAD_REQUEST, fault.object()).with_id(fault.id)
    }
}

impl From<EraError> for Rejection {
    fn from(fault: EraError) -> Self {
        Self::new(fault.status(), fault.object())
    }
}

/// Rejects a request whose token lacks scopes: 403, with a challenge that names them (RFC 6750 3.1).
pub(crate) fn insufficient_scope(gateway: &GatewayName, scopes: &[Scope]) -> Rejection {
    let error = AuthError::InsufficientScope {
        scopes: scopes.to_vec(),
    };
    let challenge = Challenge::bearer().with_realm(gateway.as_str()).for_error(&error);
    Rejection::http(error.status(), error.to_string()).with_challenges(vec![challenge.header_value()])
}

/// Returns a response with one JSON text.
pub(crate) fn json(status: StatusCode, text: Bytes) -> Response<Body> {
    let mut response = Response::new(Body::whole(text));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, JSON);
    response
}

/// Returns a response of the gateway itself: JSON, or one event if the client lists event streams first. Clients must
/// accept both (2026-07-28 and 2025-11-25, basic/transports); the first one listed is taken as preferred.
pub(crate) fn of_our_own(request: &HeaderMap, text: Bytes) -> Response<Body> {
    let accept = request.get(header::ACCEPT).map_or(&[][..], HeaderValue::as_bytes);
    if accept.starts_with(b"text/event-stream") {
        return events(Body::whole(sse::event(&text)));
    }
    json(StatusCode::OK, text)
}

/// Returns a response with streamed JSON.
pub(crate) fn json_relayed(body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    response.headers_mut().insert(header::CONTENT_TYPE, JSON);
    response
}

/// Returns a response with a stream of events.
pub(crate) fn events(body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, EVENT_STREAM);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    // Reverse proxies buffer events otherwise (2026-07-28, transports).
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

/// Returns whether a response is a stream of events.
pub(crate) fn is_stream(response: &Response<Body>) -> bool {
    response.headers().get(header::CONTENT_TYPE) == Some(&EVENT_STREAM)
}

/// Returns 202, the response to notifications.
pub(crate) fn accepted() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::ACCEPTED;
    response
}

/// Returns the HTTP status of a relayed response: an error of a modern server gets the status of its code.
pub(crate) fn status_of(era: Era, id: &RequestId, message: &Bytes) -> StatusCode {
    match era {
        Era::Modern => error_of(id, message).map_or(StatusCode::OK, |error| match error.code {
            // These codes are about the gateway's request to the server; the client's request is valid.
            wire_error::PARSE_ERROR | wire_error::INVALID_REQUEST => StatusCode::OK,
            code => wire_error::http_status(code, era),
        }),
        Era::Legacy => StatusCode::OK,
    }
}

/// Returns whether a relayed response reports a missing resource.
pub(crate) fn is_missing_resource(id: &RequestId, message: &Bytes) -> bool {
    error_of(id, message)
        .is_some_and(|error| matches!(error.code, wire_error::RESOURCE_NOT_FOUND | wire_error::INVALID_PARAMS))
}

/// Returns the error in a response to `id`, if [`envelope::error`] wrote it, as all relayed errors are. Costs one
/// comparison for other responses.
fn error_of(id: &RequestId, message: &Bytes) -> Option<ErrorObject> {
    let rest = message.strip_prefix(br#"{"jsonrpc":"2.0","id":"#)?;
    let rest = rest.strip_prefix(id.as_raw())?.strip_prefix(br#","error":"#)?;
    ErrorObject::parse(&message.slice_ref(rest.strip_suffix(b"}")?))
}
