//! What clients are answered: the only place that renders errors.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use portolan_core::{Error, FailureKind};
use portolan_wire::{
    envelope::{self, ParseError},
    era::{Era, EraError},
    error::{self as wire_error, ErrorObject},
    id::RequestId,
    object::{self, RawObject},
    sse,
};

use crate::body::Body;

/// Where the typed cause of a failed call stands, in `_meta` of a tool result and in `data` of an error.
pub(crate) const FAILURE_KEY: &str = "dev.portolan/failure";

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const EVENT_STREAM: HeaderValue = HeaderValue::from_static("text/event-stream");

/// A request that is refused, whole. Boxed, because it is rare and the way past it is not.
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
    /// A refusal with an HTTP status and a JSON-RPC error.
    pub(crate) fn new(status: StatusCode, error: ErrorObject) -> Self {
        Self(Box::new(Refused {
            status,
            id: None,
            error,
            challenges: Vec::new(),
            allow: None,
        }))
    }

    /// A refusal of the HTTP request itself: code -32600.
    pub(crate) fn http(status: StatusCode, problem: impl Into<String>) -> Self {
        Self::new(status, ErrorObject::invalid_request(problem.into()))
    }

    /// A refusal under the id of the request at fault.
    pub(crate) fn with_id(mut self, id: Option<RequestId>) -> Self {
        self.0.id = id;
        self
    }

    /// A refusal that names ways to authenticate.
    pub(crate) fn with_challenges(mut self, challenges: Vec<HeaderValue>) -> Self {
        self.0.challenges = challenges;
        self
    }

    /// 405.
    pub(crate) fn method(allow: &'static str) -> Self {
        let mut rejection = Self::http(StatusCode::METHOD_NOT_ALLOWED, format!("this endpoint takes {allow}"));
        rejection.0.allow = Some(allow);
        rejection
    }

    /// 405 to a GET that finds no stream.
    pub(crate) fn no_stream(problem: &'static str) -> Self {
        let mut rejection = Self::http(StatusCode::METHOD_NOT_ALLOWED, problem);
        rejection.0.allow = Some("POST, DELETE");
        rejection
    }

    /// The status that it is refused with.
    pub(crate) fn status(&self) -> StatusCode {
        self.0.status
    }

    /// The JSON-RPC error message, for a batch.
    pub(crate) fn message(&self) -> Bytes {
        envelope::error(self.0.id.as_ref(), &self.0.error)
    }

    /// The whole reply.
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

/// A reply that is one JSON text.
pub(crate) fn json(status: StatusCode, text: Bytes) -> Response<Body> {
    let mut response = Response::new(Body::whole(text));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, JSON);
    response
}

/// An answer that the gateway gives itself: one JSON text, or one event where the client names event streams first. It must
/// take both (2026-07-28 and 2025-11-25, basic/transports), and what it names first is what it would rather have.
pub(crate) fn of_our_own(request: &HeaderMap, text: Bytes) -> Response<Body> {
    let accept = request.get(header::ACCEPT).map_or(&[][..], HeaderValue::as_bytes);
    if accept.starts_with(b"text/event-stream") {
        return events(Body::whole(sse::event(&text)));
    }
    json(StatusCode::OK, text)
}

/// A reply that is JSON as it comes.
pub(crate) fn json_relayed(body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    response.headers_mut().insert(header::CONTENT_TYPE, JSON);
    response
}

/// A reply that is a stream of events.
pub(crate) fn events(body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, EVENT_STREAM);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    // Reverse proxies otherwise hold events back (2026-07-28, transports).
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

/// Whether a reply is a stream of events.
pub(crate) fn is_stream(response: &Response<Body>) -> bool {
    response.headers().get(header::CONTENT_TYPE) == Some(&EVENT_STREAM)
}

/// 202, the answer to notifications.
pub(crate) fn accepted() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::ACCEPTED;
    response
}

/// The JSON-RPC error for what went wrong outside of a tool call.
pub(crate) fn error_object(error: &Error) -> ErrorObject {
    let object = match error {
        Error::Invalid { .. } => ErrorObject::invalid_params(explain(error)),
        _ => ErrorObject::internal(explain(error)),
    };
    let mut data = RawObject::new();
    data.set(FAILURE_KEY, failure(error));
    object.with_data(data.to_bytes())
}

/// A tool result that says why there is no other: what a model and a person can read, and a type for a program.
///
/// Failures of an upstream are tool results and not JSON-RPC errors, so that a model sees them (2026-07-28,
/// server/tools, error handling).
pub(crate) fn tool_failure(era: Era, error: &Error) -> Bytes {
    let mut text = RawObject::new();
    text.set("type", Bytes::from_static(b"\"text\""));
    text.set("text", object::quote(&explain(error)));
    let mut content = Vec::from(*b"[");
    content.extend_from_slice(&text.to_bytes());
    content.push(b']');
    let mut meta = RawObject::new();
    meta.set(FAILURE_KEY, failure(error));
    let mut result = RawObject::new();
    if era == Era::Modern {
        result.set("resultType", Bytes::from_static(b"\"complete\""));
    }
    result.set("content", content.into());
    result.set("isError", Bytes::from_static(b"true"));
    result.set("_meta", meta.to_bytes());
    result.to_bytes()
}

/// The message that says that there is no answer: to a call of a tool a result that a model can read, else an error.
pub(crate) fn no_answer(era: Era, is_tool: bool, id: &RequestId, error: &Error) -> Bytes {
    if is_tool {
        envelope::result(id, &tool_failure(era, error))
    } else {
        envelope::error(Some(id), &error_object(error))
    }
}

/// The HTTP status of a relayed answer: an error of a modern server has the one that belongs to its code.
pub(crate) fn status_of(era: Era, id: &RequestId, message: &Bytes) -> StatusCode {
    match era {
        Era::Modern => error_of(id, message).map_or(StatusCode::OK, |error| match error.code {
            // The server's, about what it was sent: this request has arrived in order.
            wire_error::PARSE_ERROR | wire_error::INVALID_REQUEST => StatusCode::OK,
            code => wire_error::http_status(code, era),
        }),
        Era::Legacy => StatusCode::OK,
    }
}

/// Whether a relayed answer says that there is no such resource.
pub(crate) fn is_missing_resource(id: &RequestId, message: &Bytes) -> bool {
    error_of(id, message)
        .is_some_and(|error| matches!(error.code, wire_error::RESOURCE_NOT_FOUND | wire_error::INVALID_PARAMS))
}

/// The error in an answer under `id`, if it is one that [`envelope::error`] wrote, as all relayed ones are. What is not
/// costs a comparison.
fn error_of(id: &RequestId, message: &Bytes) -> Option<ErrorObject> {
    let rest = message.strip_prefix(br#"{"jsonrpc":"2.0","id":"#)?;
    let rest = rest.strip_prefix(id.as_raw())?.strip_prefix(br#","error":"#)?;
    ErrorObject::parse(&message.slice_ref(rest.strip_suffix(b"}")?))
}

/// One line for the caller, and what to do.
fn explain(error: &Error) -> String {
    match error.remedy() {
        Some(remedy) => format!("{error}; {remedy}"),
        None if error.is_retryable() => format!("{error}; try again"),
        None => error.to_string(),
    }
}

fn failure(error: &Error) -> Bytes {
    let cause = match error {
        Error::NotReady { failure, .. } => serde_json::to_string(&failure.kind).unwrap_or_default(),
        Error::Timeout { .. } => serde_json::to_string(&FailureKind::Timeout).unwrap_or_default(),
        Error::Exhausted { .. } => "\"overloaded\"".into(),
        Error::Denied { .. } => "\"denied\"".into(),
        Error::Invalid { .. } => "\"invalid\"".into(),
        _ => "\"internal\"".into(),
    };
    let mut object = RawObject::new();
    object.set("cause", cause.into());
    object.set(
        "retryable",
        if error.is_retryable() {
            "true".into()
        } else {
            "false".into()
        },
    );
    object.to_bytes()
}
