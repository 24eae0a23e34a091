//! An endpoint: where a running server is reached. The narrow waist between runtimes and the gateway.

use std::{
    fmt::{self, Debug},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use url::Url;

use crate::{ProtocolEra, Result, Secret};

/// Where a server is reached.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Endpoint {
    /// Streamable HTTP at this URL.
    Http(HttpEndpoint),
    /// A server with one stdin and one stdout, shared by all callers through its owner.
    Channel(Arc<dyn Channel>),
}

/// Where a server is reached by HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HttpEndpoint {
    /// The MCP endpoint.
    pub url: Url,
    /// Which era it speaks.
    pub era: ProtocolEra,
    /// What the runtime itself puts before the server, such as the token of an in-pod bridge; sent as a bearer token.
    pub token: Option<Secret>,
}

impl HttpEndpoint {
    /// An endpoint at `url`, its era to be found.
    pub fn new(url: Url) -> Self {
        Self {
            url,
            era: ProtocolEra::Auto,
            token: None,
        }
    }
}

/// One stdio server, shared by many callers.
///
/// Who implements this owns the server's stdin and stdout: it shakes hands once, gives each call an id of its own, and
/// brings each answer to the caller who asked. Messages pass as raw JSON.
///
/// # Contract
///
/// - Each call gets exactly one answer: the server's response, or an error. Answers never cross.
/// - A call whose bytes were sent is never sent again. If the server ends before it answers, the call fails with
///   [`Error::NotReady`](crate::Error::NotReady), of kind [`FailureKind::Exited`](crate::FailureKind::Exited); later calls go to the next run.
/// - Dropping an [`Exchange`] before its answer cancels the call: the server is told, and its late answer is dropped.
/// - Progress notifications reach only the exchange whose `progressToken` they carry, with the token that the caller gave.
/// - A question of the server reaches an exchange only if every call under way is of the same respondent, and then the
///   latest of them; else the server is told that nobody can be asked. So a question never reaches a stranger.
/// - Where conversations are kept apart, no process that one of them has used serves another.
/// - What cannot be sent now fails at once or within the deadline; nothing is queued without bound.
#[async_trait]
pub trait Channel: Debug + Send + Sync {
    /// How the server introduced itself. Waits until it has, as long as it is starting.
    async fn handshake(&self) -> Result<ServerHandshake>;

    /// Sends a request. Its answer comes through the exchange.
    async fn call(&self, request: ChannelRequest) -> Result<Exchange>;

    /// What the server says outside of any call, such as list-changed: as raw notifications.
    fn notifications(&self) -> tokio::sync::broadcast::Receiver<ChannelNotification>;

    /// Whether conversations are kept apart: then a request has to say to which it belongs
    /// ([`ChannelRequest::conversation`]), and who sends it tells when that is over ([`Channel::end`]). By default all
    /// share one server.
    fn isolates_conversations(&self) -> bool {
        false
    }

    /// A conversation is over: what was kept for it may go. One that is not known is over already.
    fn end(&self, conversation: &str) {
        let _ = conversation;
    }
}

/// How a server introduced itself.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerHandshake {
    /// Whether it speaks 2026-07-28 or newer.
    pub modern: bool,
    /// The protocol version that was agreed on, such as `2025-11-25`.
    pub version: String,
    /// Its `capabilities`, raw.
    pub capabilities: Bytes,
    /// Its `serverInfo`, raw, where it gave one.
    pub server_info: Option<Bytes>,
    /// Its `instructions`, where it gave any.
    pub instructions: Option<String>,
    /// Another number after each start of the server.
    pub generation: u64,
}

impl ServerHandshake {
    /// A greeting in version `version` with `capabilities`.
    pub fn new(modern: bool, version: impl Into<String>, capabilities: Bytes) -> Self {
        Self {
            modern,
            version: version.into(),
            capabilities,
            server_info: None,
            instructions: None,
            generation: 0,
        }
    }
}

/// A request to a stdio server.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ChannelRequest {
    /// The method.
    pub method: Box<str>,
    /// The params, a raw JSON object, in the era of the server.
    pub params: Option<Bytes>,
    /// How long the answer may take. Progress does not extend it.
    pub timeout: Duration,
    /// Who answers the server's questions during this call, as a key that equals only that of the same conversation.
    /// `None` if nobody can be asked.
    pub requester_key: Option<Arc<str>>,
    /// To which conversation it belongs, by a key that no other has. `None` if to none, such as what a gateway asks for
    /// itself. Only a channel that [isolates conversations](Channel::isolates_conversations) looks at it.
    pub conversation: Option<Arc<str>>,
}

impl ChannelRequest {
    /// A request of `method`, answered within `timeout` or failed.
    pub fn new(method: impl Into<Box<str>>, params: Option<Bytes>, timeout: Duration) -> Self {
        Self {
            method: method.into(),
            params,
            timeout,
            requester_key: None,
            conversation: None,
        }
    }

    /// The same, with who answers the server's questions during this call.
    #[must_use]
    pub fn requester_key(mut self, requester_key: impl Into<Arc<str>>) -> Self {
        self.requester_key = Some(requester_key.into());
        self
    }

    /// The same, of this conversation.
    #[must_use]
    pub fn conversation(mut self, conversation: impl Into<Arc<str>>) -> Self {
        self.conversation = Some(conversation.into());
        self
    }
}

/// A notification from a server, outside of any call.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChannelNotification {
    /// The method.
    pub method: Box<str>,
    /// The params, raw.
    pub params: Option<Bytes>,
}

impl ChannelNotification {
    /// A notification of `method`.
    pub fn new(method: impl Into<Box<str>>, params: Option<Bytes>) -> Self {
        Self {
            method: method.into(),
            params,
        }
    }
}

/// What comes back for one call: any number of notifications and questions, then one answer.
pub struct Exchange {
    events: tokio::sync::mpsc::Receiver<ExchangeEvent>,
    call: Box<dyn CallHandle>,
}

/// The other side of an [`Exchange`], which belongs to the owner of the pipes. Its `Drop` cancels a call that is not
/// answered yet.
pub trait CallHandle: Send + Sync {
    /// Brings the answer to a question of the server, by the key that came with it. A second answer, or one to a question
    /// that is over, is dropped.
    fn respond(&self, key: u64, answer: RpcResponse);
}

/// A call in which nothing is asked.
impl CallHandle for () {
    fn respond(&self, _key: u64, _answer: RpcResponse) {}
}

/// A step of an [`Exchange`].
#[derive(Debug)]
#[non_exhaustive]
pub enum ExchangeEvent {
    /// A notification that belongs to the call, such as progress.
    Notification(ChannelNotification),
    /// The server asks something, and waits for [`Exchange::respond`].
    ServerRequest(ServerRequest),
    /// The end: the server's answer, or why there is none.
    Response(Result<RpcResponse>),
}

/// What a legacy server asks of the client in the middle of a call: `elicitation/create`, `sampling/createMessage` or
/// `roots/list`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerRequest {
    /// What its answer is given with; unique in its exchange.
    pub key: u64,
    /// The method.
    pub method: Box<str>,
    /// The params, raw.
    pub params: Option<Bytes>,
}

impl ServerRequest {
    /// A question of `method`, to be answered with `key`.
    pub fn new(key: u64, method: impl Into<Box<str>>, params: Option<Bytes>) -> Self {
        Self {
            key,
            method: method.into(),
            params,
        }
    }
}

/// An answer, of a server or to one: a JSON-RPC result or a JSON-RPC error, raw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RpcResponse {
    /// The `result`.
    Result(Bytes),
    /// The `error` object.
    Error(Bytes),
}

impl Exchange {
    /// An exchange that yields `events`. `call` is dropped with it: its `Drop` cancels a call that is not answered yet.
    pub fn new(events: tokio::sync::mpsc::Receiver<ExchangeEvent>, call: impl CallHandle + 'static) -> Self {
        Self {
            events,
            call: Box::new(call),
        }
    }

    /// Answers a question of the server.
    pub fn respond(&self, key: u64, answer: RpcResponse) {
        self.call.respond(key, answer);
    }

    /// The next step; `None` after the answer.
    pub async fn next(&mut self) -> Option<ExchangeEvent> {
        self.events.recv().await
    }

    /// The next step, for whoever polls.
    pub fn poll_next(&mut self, cx: &mut std::task::Context<'_>) -> std::task::Poll<Option<ExchangeEvent>> {
        self.events.poll_recv(cx)
    }

    /// The answer, past all notifications. Questions are not answered.
    pub async fn answer(mut self) -> Result<RpcResponse> {
        while let Some(event) = self.next().await {
            if let ExchangeEvent::Response(answer) = event {
                return answer;
            }
        }
        Err(crate::Error::NotReady {
            what: "server",
            name: String::new(),
            failure: crate::Failure::new(crate::FailureKind::Stopped, "its owner is gone"),
        })
    }
}

impl Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange").finish_non_exhaustive()
    }
}
