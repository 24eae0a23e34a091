//! A response that takes several steps: notifications, server requests, the response.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use crate::call::Reply;
use crate::call::UpstreamRequest;
use crate::conversion::Converted;
use crate::session_ref::UpstreamSessionRef;
use crate::stdio::ChannelRelay;
use crate::streamable_http::events::EventRelay;
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame};
use portolan_core::{BoxError, Result, RpcResponse};
use portolan_wire::{
    envelope::{self, Incoming, Message, Outcome},
    era::Era,
    error::ErrorObject,
    id::RequestId,
    method::Method,
    object::{self, RawObject},
};

/// The steps of one response. As a body, it is the event stream for a client in a call without server requests.
#[derive(Debug)]
pub enum Events {
    /// The steps of a call over HTTP.
    Http(Box<EventRelay>),
    /// The steps of a call over a channel.
    Channel(Box<ChannelRelay>),
}

/// A step of a call.
#[derive(Debug)]
pub enum Step {
    /// A part of the client's event stream. The last one ends with the response.
    Frame(Bytes),
    /// A legacy server has sent a request and waits for its response.
    ServerRequest(ServerRequest),
    /// A modern server has ended the call and wants it sent again with input.
    InputRequired(InputRequired),
    /// The server has made a task of the call, which the relay has to poll.
    Task(TaskCreated),
}

/// A request of a legacy server during a call, which a capability of the client permits.
#[derive(Clone, Debug)]
pub struct ServerRequest {
    /// The key with which it is [answered](Events::answer).
    pub key: ServerRequestKey,
    /// The method of the request.
    pub method: Method,
    /// The params, raw.
    pub params: Option<Bytes>,
}

/// Identifies a server request within its call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerRequestKey {
    /// The id of a JSON-RPC request.
    Id(RequestId),
    /// The key that the channel gave.
    Channel(u64),
}

/// A call whose stream was left, for any replica to resume.
#[derive(Clone, Debug)]
pub struct StreamCheckpoint {
    /// The session of the call.
    pub session_ref: UpstreamSessionRef,
    /// The id of the call at the server.
    pub call: RequestId,
    /// The id of the last event that was read.
    pub event: Bytes,
}

/// The request that resumes a call.
#[derive(Clone, Debug)]
pub struct ResumeRequest<'a> {
    /// The client's request.
    pub request: &'a UpstreamRequest<'a>,
    /// The progress token of the request.
    pub token: Option<Bytes>,
    /// The ids of the server requests that the client has got already.
    pub known: Vec<RequestId>,
}

/// An `input_required` result.
#[derive(Clone, Debug)]
pub struct InputRequired {
    /// The result, as it came.
    pub result: RawObject,
    /// `true` if this client made it from an error of a legacy server, which takes no input.
    pub ours: bool,
}

/// A task that a call has become, which the relay has to poll.
#[derive(Clone, Debug)]
pub struct TaskCreated {
    /// The result with the task, in the form of 2026-07-28.
    pub task: RawObject,
    /// `true` if the task is at a legacy server. Its id is then already the client's.
    pub is_legacy: bool,
}

/// The reason why a client's input does not fit.
pub(crate) type Problem = &'static str;

impl Events {
    /// Polls for the next step; `None` at the end.
    ///
    /// # Errors
    ///
    /// An error if the connection to the server broke off in the middle of a message.
    pub fn poll_step(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Step, BoxError>>> {
        match self {
            Self::Http(relay) => relay.poll_step(cx),
            Self::Channel(relay) => relay.poll_step(cx),
        }
    }

    /// Returns the next step; `None` at the end. Dropping the future loses nothing.
    ///
    /// # Errors
    ///
    /// As [`poll_step`](Self::poll_step).
    pub async fn step(&mut self) -> Option<Result<Step, BoxError>> {
        std::future::poll_fn(|cx| self.poll_step(cx)).await
    }

    /// Returns `true` if the server may send a request, or want input, before the call ends.
    pub fn may_ask(&self) -> bool {
        let conversion = match self {
            Self::Http(relay) => relay.conversion(),
            Self::Channel(relay) => &relay.conversion,
        };
        conversion.client.is_some() && (conversion.upstream == Era::Modern || !conversion.capabilities.is_none())
    }

    /// Returns the session of a call over HTTP at a legacy server.
    pub fn session_ref(&self) -> Option<UpstreamSessionRef> {
        match self {
            Self::Http(relay) => relay.session_ref(),
            Self::Channel(_) => None,
        }
    }

    /// Leaves a call whose stream any replica can resume; `None` if it has no such stream.
    pub fn leave(&mut self) -> Option<StreamCheckpoint> {
        match self {
            Self::Http(relay) => {
                let (session_ref, call, event) = relay.leave()?;
                Some(StreamCheckpoint {
                    session_ref,
                    call,
                    event,
                })
            }
            Self::Channel(_) => None,
        }
    }

    /// Yields every event as a whole from now on.
    pub fn hold(&mut self) {
        if let Self::Http(relay) = self {
            relay.hold(true);
        }
    }

    /// Redirects the response to another request of the same client, with another progress token. Events that were yielded
    /// before have to be [rewritten](retell).
    pub fn rebind(&mut self, id: &RequestId, token: Option<&Bytes>) {
        let conversion = match self {
            Self::Http(relay) => {
                relay.hold(false);
                relay.conversion_mut()
            }
            Self::Channel(relay) => &mut relay.conversion,
        };
        conversion.id = id.clone();
        conversion.retold = Some(token.cloned());
    }

    /// Waits a short time for the response, which is returned as a message if it is the next event.
    ///
    /// # Errors
    ///
    /// [`Error::Timeout`](portolan_core::Error::Timeout) past a deadline.
    pub async fn settle(self) -> Result<Reply> {
        match self {
            Self::Http(relay) => relay.settle().await,
            Self::Channel(_) => Ok(Reply::Events(self)),
        }
    }

    /// Sends the client's response to a server request of this call.
    pub fn answer(&mut self, key: &ServerRequestKey, answer: RpcResponse) {
        match (self, key) {
            (Self::Http(relay), ServerRequestKey::Id(id)) => relay.answer(id, response(id, &answer)),
            (Self::Channel(relay), ServerRequestKey::Channel(key)) => relay.answer(*key, answer),
            _ => {}
        }
    }
}

/// The event stream of a call in which the server sends no requests.
impl HttpBody for Events {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let step = std::task::ready!(self.get_mut().poll_step(cx));
        Poll::Ready(step.map(|step| match step? {
            Step::Frame(data) => Ok(Frame::data(data)),
            Step::ServerRequest(_) | Step::InputRequired(_) | Step::Task(_) => {
                Err("the server sent a request that no client can answer".into())
            }
        }))
    }
}

impl From<Converted> for Reply {
    fn from(said: Converted) -> Self {
        match said {
            Converted::Message(message) => Self::Message(message),
            Converted::InputRequired(asked) => Self::InputRequired(asked),
            Converted::TaskRequired(message) => Self::TaskRequired(message),
            Converted::Task(task) => Self::Task(task),
        }
    }
}

impl InputRequired {
    /// Wraps a result of a modern server.
    ///
    /// ```
    /// use portolan_client::InputRequired;
    /// use portolan_wire::object::RawObject;
    ///
    /// let result = r#"{"resultType":"input_required","requestState":"7"}"#;
    /// let required = InputRequired::new(RawObject::parse(&result.into()).expect("an object"));
    /// assert_eq!(required.state().expect("a state"), "\"7\"");
    /// ```
    pub fn new(result: RawObject) -> Self {
        Self { result, ours: false }
    }

    /// Reads the `data` of error -32042, with which a 2025-11-25 server wants URLs to be visited; `None` if it names none.
    pub fn visits(data: Option<&Bytes>) -> Option<Self> {
        let data = RawObject::parse_checked(data?).ok()?;
        let pages: Vec<&serde_json::value::RawValue> = serde_json::from_slice(data.get("elicitations")?).ok()?;
        let mut requests = RawObject::new();
        for (at, page) in pages.iter().take(MAX_SERVER_REQUESTS).enumerate() {
            let page = Bytes::copy_from_slice(page.get().as_bytes());
            let params = modern_params(&Method::Elicit, Some(&page));
            requests.set(&format!("page-{}", at + 1), request(&Method::Elicit, params.as_ref()));
        }
        if requests.is_empty() {
            return None;
        }
        let mut result = RawObject::new();
        result.set("resultType", Bytes::from_static(INPUT_REQUIRED));
        result.set("inputRequests", requests.to_bytes());
        Some(Self { result, ours: true })
    }

    /// Returns the URLs to visit.
    pub fn pages(&self) -> Vec<String> {
        let url = |(_, _, params): (String, Method, Option<Bytes>)| {
            let params = RawObject::parse_checked(&params?).ok()?;
            Some(object::text(params.get("url")?)?.into_owned())
        };
        self.requests()
            .unwrap_or_default()
            .into_iter()
            .filter_map(url)
            .collect()
    }

    /// Returns the `requestState`, raw, which the server wants back.
    pub fn state(&self) -> Option<&Bytes> {
        self.result.get("requestState")
    }

    /// Returns the requests for input, each with its key, method and params.
    ///
    /// # Errors
    ///
    /// A text that says what is not valid in the `inputRequests`.
    pub fn requests(&self) -> Result<Vec<(String, Method, Option<Bytes>)>, Problem> {
        let Some(raw) = self.result.get("inputRequests") else {
            return Ok(Vec::new());
        };
        let requests = RawObject::parse_checked(raw).map_err(|_| "its inputRequests are not a JSON object")?;
        if requests.len() > MAX_SERVER_REQUESTS {
            return Err("its inputRequests are too many");
        }
        let read = |(key, raw): (std::borrow::Cow<'_, str>, &Bytes)| {
            let request = RawObject::parse_checked(raw).ok()?;
            let method = Method::parse(&object::text(request.get("method")?)?);
            Some((key.into_owned(), method, request.get("params").cloned()))
        };
        requests
            .iter()
            .map(|one| read(one).ok_or("a member of its inputRequests cannot be parsed"))
            .collect()
    }
}

/// The largest number of requests for input in one result.
pub const MAX_SERVER_REQUESTS: usize = 64;

/// The `resultType` of a result that requires input.
pub const INPUT_REQUIRED: &[u8] = br#""input_required""#;

/// Returns a request as a member of `inputRequests`.
pub fn request(method: &Method, params: Option<&Bytes>) -> Bytes {
    let mut request = RawObject::new();
    request.set("method", object::quote(method.as_str()));
    if let Some(params) = params {
        request.set("params", params.clone());
    }
    request.to_bytes()
}

/// Returns the params of a server request for a modern client: without members of 2025-11-25.
pub fn modern_params(method: &Method, params: Option<&Bytes>) -> Option<Bytes> {
    let mut members = RawObject::parse_checked(params?).ok()?;
    members.remove("task");
    if *method == Method::Elicit {
        members.remove("elicitationId");
    }
    Some(members.to_bytes())
}

/// Rewrites a message of a call for another request of the same client; `None` for progress that it does not want.
pub fn retell(message: &Bytes, id: &RequestId, token: Option<&Bytes>) -> Option<Bytes> {
    match envelope::parse(message, &envelope::ParseLimits { depth: 1024, batch: 1 }).ok()? {
        Incoming::One(Message::Response(response)) => Some(match response.outcome {
            Outcome::Result(raw) => envelope::result(id, &raw),
            Outcome::Error(raw) => envelope::error(Some(id), &ErrorObject::parse(&raw)?),
        }),
        Incoming::One(Message::Notification(told)) if told.method == Method::Progress => {
            let mut params = RawObject::parse_checked(told.params.as_ref()?).ok()?;
            params.set("progressToken", token?.clone());
            Some(envelope::notification(&Method::Progress, Some(&params.to_bytes())))
        }
        _ => Some(message.clone()),
    }
}

/// Returns a JSON-RPC response.
pub fn response(id: &RequestId, answer: &RpcResponse) -> Bytes {
    match answer {
        RpcResponse::Result(raw) => envelope::result(id, raw),
        RpcResponse::Error(raw) => {
            let error = ErrorObject::parse(raw).unwrap_or_else(|| ErrorObject::internal("the client cannot answer"));
            envelope::error(Some(id), &error)
        }
    }
}
