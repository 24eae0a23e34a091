//! Endpoints of running servers: the interface between runtimes and gateways.

use std::{
    fmt::{self, Debug},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use url::Url;

use crate::{ProtocolEra, Result, Secret};

/// The endpoint of a running server.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Endpoint {
    /// Streamable HTTP at a URL.
    Http(HttpEndpoint),
    /// A stdio server, which all callers share.
    Channel(Arc<dyn Channel>),
}

/// The endpoint of a server that is reached by HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HttpEndpoint {
    /// The URL of the MCP endpoint.
    pub url: Url,
    /// The protocol era of the server.
    pub era: ProtocolEra,
    /// The bearer token that the runtime requires, such as that of an in-pod bridge.
    pub token: Option<Secret>,
}

impl HttpEndpoint {
    /// Creates an endpoint at `url` whose protocol era is detected.
    ///
    /// ```
    /// use portolan_core::{Endpoint, HttpEndpoint};
    ///
    /// let url = "http://127.0.0.1:8000/mcp".parse().expect("a URL");
    /// let endpoint = Endpoint::Http(HttpEndpoint::new(url));
    /// ```
    pub fn new(url: Url) -> Self {
        Self {
            url,
            era: ProtocolEra::Auto,
            token: None,
        }
    }
}

/// A stdio server that many callers share.
///
/// An implementation owns the server's stdin and stdout: it initializes the server once, gives each call an id of its own,
/// and routes each response to its call. Messages are raw JSON.
///
/// # Contract
///
/// - Each call gets exactly one response: the server's, or an error. Responses never cross.
/// - A call whose bytes were sent is never sent again. If the server exits before it responds, the call fails with
///   [`Error::NotReady`](crate::Error::NotReady) of kind [`FailureKind::Exited`](crate::FailureKind::Exited); later calls
///   go to the next process.
/// - Dropping an [`Exchange`] before its response cancels the call: the server is notified, and its late response dropped.
/// - Progress notifications reach only the exchange whose `progressToken` they carry, with the token of the caller.
/// - A request of the server reaches an exchange only if all calls under way have the same
///   [requester key](ChannelRequest::requester_key), and then the latest of them; else the server gets an error. So a
///   request never reaches another client.
/// - Where conversations are [isolated](Self::isolates_conversations), no process that one of them has used serves another.
/// - A request that cannot be sent now fails at once or within the deadline; nothing is queued without bound.
///
/// ```
/// use std::time::Duration;
/// use bytes::Bytes;
/// use portolan_core::{
///     Channel, ChannelNotification, ChannelRequest, Exchange, ExchangeEvent, Result, RpcResponse, ServerHandshake,
/// };
/// use tokio::sync::{broadcast, mpsc};
///
/// /// Responds to every request with an empty result.
/// #[derive(Debug)]
/// struct Empty(broadcast::Sender<ChannelNotification>);
///
/// #[async_trait::async_trait]
/// impl Channel for Empty {
///     async fn handshake(&self) -> Result<ServerHandshake> {
///         Ok(ServerHandshake::new(true, "2026-07-28", Bytes::from_static(b"{}")))
///     }
///
///     async fn call(&self, _: ChannelRequest) -> Result<Exchange> {
///         let (events, receiver) = mpsc::channel(1);
///         let response = RpcResponse::Result(Bytes::from_static(b"{}"));
///         let _ = events.send(ExchangeEvent::Response(Ok(response))).await;
///         Ok(Exchange::new(receiver, ()))
///     }
///
///     fn notifications(&self) -> broadcast::Receiver<ChannelNotification> {
///         self.0.subscribe()
///     }
/// }
///
/// # tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(async {
/// let channel = Empty(broadcast::Sender::new(1));
/// let exchange = channel.call(ChannelRequest::new("ping", None, Duration::from_secs(5))).await?;
/// assert_eq!(exchange.answer().await?, RpcResponse::Result(Bytes::from_static(b"{}")));
/// # Ok::<(), portolan_core::Error>(())
/// # }).expect("a response");
/// ```
#[async_trait]
pub trait Channel: Debug + Send + Sync {
    /// Returns the server's handshake. Waits for it while the server starts.
    ///
    /// # Errors
    ///
    /// [`Error::NotReady`](crate::Error::NotReady) if the server does not run or does not speak MCP.
    async fn handshake(&self) -> Result<ServerHandshake>;

    /// Sends a request. Its response comes through the exchange.
    ///
    /// # Errors
    ///
    /// - [`Error::NotReady`](crate::Error::NotReady) if the server does not run.
    /// - [`Error::Exhausted`](crate::Error::Exhausted) if too many calls are under way.
    /// - [`Error::Timeout`](crate::Error::Timeout) if it cannot be sent within the request's timeout.
    async fn call(&self, request: ChannelRequest) -> Result<Exchange>;

    /// Subscribes to the notifications that belong to no call, such as list-changed.
    fn notifications(&self) -> tokio::sync::broadcast::Receiver<ChannelNotification>;

    /// Returns `true` if each conversation has a process of its own. Then a request names its conversation
    /// ([`ChannelRequest::conversation`]), and the sender ends it ([`Channel::end`]). `false` by default.
    fn isolates_conversations(&self) -> bool {
        false
    }

    /// Ends a conversation and frees its process. Does nothing for an unknown one.
    fn end(&self, conversation: &str) {
        let _ = conversation;
    }
}

/// The result of the handshake with a server.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerHandshake {
    /// `true` if the server speaks 2026-07-28 or newer.
    pub modern: bool,
    /// The negotiated protocol version, such as `2025-11-25`.
    pub version: String,
    /// The `capabilities`, raw.
    pub capabilities: Bytes,
    /// The `serverInfo`, raw, if the server gave one.
    pub server_info: Option<Bytes>,
    /// The `instructions`, if the server gave any.
    pub instructions: Option<String>,
    /// The number of the server's start: changes with each one.
    pub generation: u64,
}

impl ServerHandshake {
    /// Creates a handshake of protocol version `version` with `capabilities`. For an example, see [`Channel`].
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
    /// The params: a raw JSON object in the protocol era of the server.
    pub params: Option<Bytes>,
    /// The longest time until the response. Progress does not extend it.
    pub timeout: Duration,
    /// The key of the client that answers the server's requests during this call, equal for one conversation only. `None`
    /// if no client can be asked.
    pub requester_key: Option<Arc<str>>,
    /// The key of the conversation that the request belongs to. `None` for requests of the gateway itself. Only a channel
    /// that [isolates conversations](Channel::isolates_conversations) looks at it.
    pub conversation: Option<Arc<str>>,
}

impl ChannelRequest {
    /// Creates a request of `method` that fails without a response within `timeout`.
    ///
    /// ```
    /// use std::time::Duration;
    /// use portolan_core::ChannelRequest;
    ///
    /// let request = ChannelRequest::new("tools/list", None, Duration::from_secs(30)).conversation("session-1");
    /// ```
    pub fn new(method: impl Into<Box<str>>, params: Option<Bytes>, timeout: Duration) -> Self {
        Self {
            method: method.into(),
            params,
            timeout,
            requester_key: None,
            conversation: None,
        }
    }

    /// Sets the key of the client that answers the server's requests during this call.
    #[must_use]
    pub fn requester_key(mut self, requester_key: impl Into<Arc<str>>) -> Self {
        self.requester_key = Some(requester_key.into());
        self
    }

    /// Sets the key of the conversation.
    #[must_use]
    pub fn conversation(mut self, conversation: impl Into<Arc<str>>) -> Self {
        self.conversation = Some(conversation.into());
        self
    }
}

/// A notification from a server.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChannelNotification {
    /// The method.
    pub method: Box<str>,
    /// The params, raw.
    pub params: Option<Bytes>,
}

impl ChannelNotification {
    /// Creates a notification of `method`.
    ///
    /// ```
    /// let changed = portolan_core::ChannelNotification::new("notifications/tools/list_changed", None);
    /// ```
    pub fn new(method: impl Into<Box<str>>, params: Option<Bytes>) -> Self {
        Self {
            method: method.into(),
            params,
        }
    }
}

/// The events of one call: any number of notifications and requests of the server, then one response. For an example, see
/// [`Channel`].
pub struct Exchange {
    events: tokio::sync::mpsc::Receiver<ExchangeEvent>,
    call: Box<dyn CallHandle>,
}

/// The channel's side of an [`Exchange`]: takes the client's responses to requests of the server. Its `Drop` cancels a call
/// without a response.
///
/// ```
/// use portolan_core::{CallHandle, RpcResponse};
/// use tokio::sync::mpsc::UnboundedSender;
///
/// /// Hands responses on to the task that owns the pipes.
/// struct Handle(UnboundedSender<(u64, RpcResponse)>);
///
/// impl CallHandle for Handle {
///     fn respond(&self, key: u64, response: RpcResponse) {
///         let _ = self.0.send((key, response));
///     }
/// }
/// ```
pub trait CallHandle: Send + Sync {
    /// Takes the response to the request with this key. A second response, or one to an ended request, is dropped.
    fn respond(&self, key: u64, response: RpcResponse);
}

/// The handle of a call in which the server sends no requests.
impl CallHandle for () {
    fn respond(&self, _key: u64, _response: RpcResponse) {}
}

/// An event of an [`Exchange`].
#[derive(Debug)]
#[non_exhaustive]
pub enum ExchangeEvent {
    /// A notification that belongs to the call, such as progress.
    Notification(ChannelNotification),
    /// A request of the server, which waits for [`Exchange::respond`].
    ServerRequest(ServerRequest),
    /// The last event: the server's response, or the error of the call.
    Response(Result<RpcResponse>),
}

/// A request that a legacy server sends to the client during a call: `elicitation/create`, `sampling/createMessage` or
/// `roots/list`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerRequest {
    /// The key for [`Exchange::respond`]; unique in its exchange.
    pub key: u64,
    /// The method.
    pub method: Box<str>,
    /// The params, raw.
    pub params: Option<Bytes>,
}

impl ServerRequest {
    /// Creates a request of `method` with the key of its response.
    ///
    /// ```
    /// let request = portolan_core::ServerRequest::new(1, "roots/list", None);
    /// ```
    pub fn new(key: u64, method: impl Into<Box<str>>, params: Option<Bytes>) -> Self {
        Self {
            key,
            method: method.into(),
            params,
        }
    }
}

/// A JSON-RPC response, from a server or to one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RpcResponse {
    /// The `result`, raw.
    Result(Bytes),
    /// The `error` object, raw.
    Error(Bytes),
}

impl Exchange {
    /// Creates an exchange that yields `events`. `call` is dropped with it, and its `Drop` cancels a call without a
    /// response. For an example, see [`Channel`].
    pub fn new(events: tokio::sync::mpsc::Receiver<ExchangeEvent>, call: impl CallHandle + 'static) -> Self {
        Self {
            events,
            call: Box::new(call),
        }
    }

    /// Responds to the request of the server with this key.
    pub fn respond(&self, key: u64, response: RpcResponse) {
        self.call.respond(key, response);
    }

    /// Returns the next event; `None` after the response.
    pub async fn next(&mut self) -> Option<ExchangeEvent> {
        self.events.recv().await
    }

    /// Polls for the next event.
    pub fn poll_next(&mut self, cx: &mut std::task::Context<'_>) -> std::task::Poll<Option<ExchangeEvent>> {
        self.events.poll_recv(cx)
    }

    /// Returns the response and skips all events before it. Requests of the server get no response.
    ///
    /// # Errors
    ///
    /// The error of the call, or [`Error::NotReady`](crate::Error::NotReady) if the channel is gone.
    pub async fn answer(mut self) -> Result<RpcResponse> {
        while let Some(event) = self.next().await {
            if let ExchangeEvent::Response(answer) = event {
                return answer;
            }
        }
        Err(crate::Error::NotReady {
            what: "server",
            name: String::new(),
            failure: crate::Failure::new(crate::FailureKind::Stopped, "its channel is gone"),
        })
    }
}

impl Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange").finish_non_exhaustive()
    }
}
