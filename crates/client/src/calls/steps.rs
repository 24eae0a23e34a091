//! An answer that takes several steps: what a server says, asks, and answers in the end.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use crate::calls::stdio::ChannelRelay;
use crate::calls::streamable_http::events::EventRelay;
use crate::conversion::Converted;
use crate::request::Reply;
use crate::request::UpstreamRequest;
use crate::session_ref::UpstreamSessionRef;
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

/// The steps of one answer.
#[derive(Debug)]
pub enum Events {
    /// From a server at a URL.
    Http(Box<EventRelay>),
    /// From a server behind a channel.
    Channel(Box<ChannelRelay>),
}

/// One of them.
#[derive(Debug)]
pub enum Step {
    /// A piece of the client's event stream. The last one ends with the answer.
    Frame(Bytes),
    /// A legacy server asks something, and waits.
    ServerRequest(ServerRequest),
    /// A modern server has ended the call, and wants it made again with answers.
    InputRequired(InputRequired),
    /// It has made a task of the call, which the gateway is to drive.
    Task(TaskCreated),
}

/// What a legacy server asks, which it may: it was told that this client can answer it.
#[derive(Clone, Debug)]
pub struct ServerRequest {
    /// What its answer is given with.
    pub key: ServerRequestKey,
    /// What is asked.
    pub method: Method,
    /// The params, raw.
    pub params: Option<Bytes>,
}

/// How a server tells its questions apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerRequestKey {
    /// The id of a JSON-RPC request.
    Id(RequestId),
    /// The key that the owner of its pipes gave.
    Channel(u64),
}

/// A call whose stream was left.
#[derive(Clone, Debug)]
pub struct StreamCheckpoint {
    /// In which session it is.
    pub session_ref: UpstreamSessionRef,
    /// The id that it was sent with.
    pub call: RequestId,
    /// The last event that was read.
    pub event: Bytes,
}

/// Whose a call that was left is now.
#[derive(Clone, Debug)]
pub struct ResumeRequest<'a> {
    /// The request that came back.
    pub request: &'a UpstreamRequest<'a>,
    /// Its progress token.
    pub token: Option<Bytes>,
    /// What the server has asked already.
    pub known: Vec<RequestId>,
}

/// An `input_required` result.
#[derive(Clone, Debug)]
pub struct InputRequired {
    /// The result as it came.
    pub result: RawObject,
    /// Whether it was made here from an error of a legacy server, to which answers mean nothing.
    pub ours: bool,
}

/// That a call has become a task which the gateway is to drive.
#[derive(Clone, Debug)]
pub struct TaskCreated {
    /// The result that says so, as 2026-07-28 writes it.
    pub task: RawObject,
    /// Whether it is at a legacy server. Its id is then one that a client would know it by.
    pub is_legacy: bool,
}

/// Why an answer of a client to a question does not fit.
pub(crate) type Problem = &'static str;

impl Events {
    /// The next step; `None` at the end.
    pub fn poll_step(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Step, BoxError>>> {
        match self {
            Self::Http(relay) => relay.poll_step(cx),
            Self::Channel(relay) => relay.poll_step(cx),
        }
    }

    /// The next step; `None` at the end. Dropped, it loses nothing.
    pub async fn step(&mut self) -> Option<Result<Step, BoxError>> {
        std::future::poll_fn(|cx| self.poll_step(cx)).await
    }

    /// Whether this call may need its client before it is over.
    pub fn may_ask(&self) -> bool {
        let conversion = match self {
            Self::Http(relay) => relay.conversion(),
            Self::Channel(relay) => &relay.conversion,
        };
        conversion.client.is_some() && (conversion.upstream == Era::Modern || !conversion.capabilities.is_none())
    }

    /// In which session at a server at a URL this call is.
    pub fn session_ref(&self) -> Option<UpstreamSessionRef> {
        match self {
            Self::Http(relay) => relay.session_ref(),
            Self::Channel(_) => None,
        }
    }

    /// Leaves a call at a server whose stream can be taken up again by any replica.
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

    /// From now on every event is given out whole.
    pub fn hold(&mut self) {
        if let Self::Http(relay) = self {
            relay.hold(true);
        }
    }

    /// The answer goes to another request, with another progress token, of the same client. What was given out already has
    /// to be [told anew](retell).
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

    /// Waits a while for the answer, which need not be a stream if it is the next thing that comes.
    pub async fn settle(self) -> Result<Reply> {
        match self {
            Self::Http(relay) => relay.settle().await,
            Self::Channel(_) => Ok(Reply::Events(self)),
        }
    }

    /// Brings the server an answer to a question of this call.
    pub fn answer(&mut self, key: &ServerRequestKey, answer: RpcResponse) {
        match (self, key) {
            (Self::Http(relay), ServerRequestKey::Id(id)) => relay.answer(id, response(id, &answer)),
            (Self::Channel(relay), ServerRequestKey::Channel(key)) => relay.answer(*key, answer),
            _ => {}
        }
    }
}

/// A call in which nothing is asked flows by as it is.
impl HttpBody for Events {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let step = std::task::ready!(self.get_mut().poll_step(cx));
        Poll::Ready(step.map(|step| match step? {
            Step::Frame(data) => Ok(Frame::data(data)),
            Step::ServerRequest(_) | Step::InputRequired(_) | Step::Task(_) => {
                Err("the server asks something that nobody can answer".into())
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
    /// A result of a modern server.
    pub fn new(result: RawObject) -> Self {
        Self { result, ours: false }
    }

    /// The same from the `data` of -32042, by which a 2025-11-25 server wants pages to be visited.
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

    /// The pages that are to be visited.
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

    /// The state that the server wants back, raw.
    pub fn state(&self) -> Option<&Bytes> {
        self.result.get("requestState")
    }

    /// What is asked, each under its key.
    pub fn requests(&self) -> Result<Vec<(String, Method, Option<Bytes>)>, Problem> {
        let Some(raw) = self.result.get("inputRequests") else {
            return Ok(Vec::new());
        };
        let requests = RawObject::parse_checked(raw).map_err(|_| "its inputRequests are no JSON object")?;
        if requests.len() > MAX_SERVER_REQUESTS {
            return Err("it asks too much at once");
        }
        let read = |(key, raw): (std::borrow::Cow<'_, str>, &Bytes)| {
            let request = RawObject::parse_checked(raw).ok()?;
            let method = Method::parse(&object::text(request.get("method")?)?);
            Some((key.into_owned(), method, request.get("params").cloned()))
        };
        requests
            .iter()
            .map(|one| read(one).ok_or("a question of it cannot be read"))
            .collect()
    }
}

/// Questions that one answer may hold.
pub const MAX_SERVER_REQUESTS: usize = 64;

/// The `resultType` of a result that asks.
pub const INPUT_REQUIRED: &[u8] = br#""input_required""#;

/// A question as it stands in `inputRequests`.
pub fn request(method: &Method, params: Option<&Bytes>) -> Bytes {
    let mut request = RawObject::new();
    request.set("method", object::quote(method.as_str()));
    if let Some(params) = params {
        request.set("params", params.clone());
    }
    request.to_bytes()
}

/// The params of a question for a modern client: without what only 2025-11-25 knows.
pub fn modern_params(method: &Method, params: Option<&Bytes>) -> Option<Bytes> {
    let mut members = RawObject::parse_checked(params?).ok()?;
    members.remove("task");
    if *method == Method::Elicit {
        members.remove("elicitationId");
    }
    Some(members.to_bytes())
}

/// A message of a call for another request of the same client. Progress that it does not want is none.
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

/// A JSON-RPC response with an answer.
pub fn response(id: &RequestId, answer: &RpcResponse) -> Bytes {
    match answer {
        RpcResponse::Result(raw) => envelope::result(id, raw),
        RpcResponse::Error(raw) => {
            let error = ErrorObject::parse(raw).unwrap_or_else(|| ErrorObject::internal("the client cannot answer"));
            envelope::error(Some(id), &error)
        }
    }
}
