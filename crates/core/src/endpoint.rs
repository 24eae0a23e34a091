//! An endpoint: where a running server is reached. The narrow waist between runtimes and the gateway.

use std::{
    fmt::{self, Debug},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use url::Url;

use crate::{EraPin, Result, Secret};

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
    pub era: EraPin,
    /// What the runtime itself puts before the server, such as the token of an in-pod bridge; sent as a bearer token.
    pub token: Option<Secret>,
}

impl HttpEndpoint {
    /// An endpoint at `url`, its era to be found.
    pub fn new(url: Url) -> Self {
        Self {
            url,
            era: EraPin::Auto,
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
///   [`Error::NotReady`](crate::Error::NotReady), cause [`Exited`](crate::Cause::Exited); later calls go to the next run.
/// - Dropping an [`Exchange`] before its answer cancels the call: the server is told, and its late answer is dropped.
/// - Progress notifications reach only the exchange whose `progressToken` they carry, with the token that the caller gave.
/// - What cannot be sent now fails at once or within the deadline; nothing is queued without bound.
#[async_trait]
pub trait Channel: Debug + Send + Sync {
    /// How the server introduced itself. Waits until it has, as long as it is starting.
    async fn hello(&self) -> Result<Hello>;

    /// Sends a request. Its answer comes through the exchange.
    async fn call(&self, request: ChannelRequest) -> Result<Exchange>;

    /// What the server says outside of any call, such as list-changed: as raw notifications.
    fn notifications(&self) -> tokio::sync::broadcast::Receiver<ChannelNotification>;
}

/// How a server introduced itself.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Hello {
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

impl Hello {
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
}

impl ChannelRequest {
    /// A request of `method`, answered within `timeout` or failed.
    pub fn new(method: impl Into<Box<str>>, params: Option<Bytes>, timeout: Duration) -> Self {
        Self {
            method: method.into(),
            params,
            timeout,
        }
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

/// What comes back for one call: any number of notifications, then one answer.
pub struct Exchange {
    events: tokio::sync::mpsc::Receiver<ExchangeEvent>,
    _cancel: Box<dyn Send + Sync>,
}

/// A step of an [`Exchange`].
#[derive(Debug)]
#[non_exhaustive]
pub enum ExchangeEvent {
    /// A notification that belongs to the call, such as progress.
    Notification(ChannelNotification),
    /// The end: the server's answer, or why there is none.
    Answer(Result<Answer>),
}

/// A server's answer: a JSON-RPC result or a JSON-RPC error, raw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The `result`.
    Result(Bytes),
    /// The `error` object.
    Error(Bytes),
}

impl Exchange {
    /// An exchange that yields `events`. `cancel` is dropped with it: its `Drop` cancels a call that is not answered yet.
    pub fn new(events: tokio::sync::mpsc::Receiver<ExchangeEvent>, cancel: impl Send + Sync + 'static) -> Self {
        Self {
            events,
            _cancel: Box::new(cancel),
        }
    }

    /// The next step; `None` after the answer.
    pub async fn next(&mut self) -> Option<ExchangeEvent> {
        self.events.recv().await
    }

    /// The next step, for whoever polls.
    pub fn poll_next(&mut self, cx: &mut std::task::Context<'_>) -> std::task::Poll<Option<ExchangeEvent>> {
        self.events.poll_recv(cx)
    }

    /// The answer, past all notifications.
    pub async fn answer(mut self) -> Result<Answer> {
        while let Some(event) = self.next().await {
            if let ExchangeEvent::Answer(answer) = event {
                return answer;
            }
        }
        Err(crate::Error::NotReady {
            what: "server",
            name: String::new(),
            failure: crate::Failure::new(crate::Cause::Stopped, "its owner is gone"),
        })
    }
}

impl Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange").finish_non_exhaustive()
    }
}
