//! The gateway: builds its services, and dispatches every request to them.

mod layers;

mod publishing;

use std::{
    convert::Infallible,
    fmt,
    future::Future,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Method as Verb, Request, Response, StatusCode, header, request::Parts};
use portolan_client::Client;
use portolan_core::{
    AuditSink, Authenticator, Bus, Clock, CredentialBroker, GatewayName, Guard, Policy, Result, SessionStore,
};
use portolan_wire::envelope::{self, Incoming};
use tokio_util::sync::DropGuard;

use self::layers::{ClientState, Foundation};
use crate::{
    body::Body,
    config::GatewayConfig,
    edge::{self, Authentication},
    housekeeping::Housekeeping,
    lists::Lists,
    protocol::Protocol,
    relay::{Guards, Relay},
    replay::{ReplayStore, Replays},
    reply::Rejection,
    request_label::RequestLabel,
    routing::{RequestContext, RouteTable},
    seal::TokenKeys,
    server_requests::ServerRequests,
    sessions::Sessions,
    subscriptions::Subscriptions,
};

/// The part of a shutdown's time that is kept for child processes, at the most.
const CHILDREN: Duration = Duration::from_secs(10);

/// Serves gateways to MCP clients of both eras, at `/mcp/<gateway>`.
///
/// It is a [`tower_service::Service`] over any body, so that every hyper-based server can mount it. It is cheap to
/// clone: clones share their state.
#[derive(Clone)]
pub struct McpGateway {
    services: Arc<Services>,
    /// The path that this clone answers below.
    path: Arc<str>,
}

/// The services of a gateway.
struct Services {
    config: Arc<GatewayConfig>,
    client: Client,
    table: Arc<RouteTable>,
    authentication: Arc<Authentication>,
    sessions: Arc<Sessions>,
    replay_store: Arc<ReplayStore>,
    server_requests: Arc<ServerRequests>,
    subscriptions: Arc<Subscriptions>,
    relay: Arc<Relay>,
    protocol: Protocol,
    housekeeping: Arc<Housekeeping>,
    /// The number of the next request.
    next_request: AtomicU64,
    /// The servers that this gateway started itself.
    #[cfg(feature = "process")]
    children: crate::children::Children,
    /// Ends background work when the gateway is dropped.
    _ends: DropGuard,
}

/// The configuration and backends of a gateway, for [`McpGateway::new`].
#[derive(Debug)]
pub struct GatewayParts {
    /// The configuration.
    pub config: GatewayConfig,
    /// The keys that seal session ids, cursors and other tokens. Replicas share them.
    pub keys: TokenKeys,
    /// Authenticate callers, tried in order. Without any, every request is rejected.
    pub authenticators: Vec<Arc<dyn Authenticator>>,
    /// Decides who may use what.
    pub policy: Arc<dyn Policy>,
    /// Provides the credentials for servers.
    pub broker: Arc<dyn CredentialBroker>,
    /// Runs self-hosted servers. Without one, only remote servers can be published.
    pub runtime: Option<Arc<dyn portolan_core::Runtime>>,
    /// Stores the state of sessions for all replicas.
    pub sessions: Arc<dyn SessionStore>,
    /// Carries notices between replicas. Without one, this is the only replica.
    pub bus: Option<Arc<dyn Bus>>,
    /// Guards, which check arguments and results, in the order in which they run.
    pub guards: Vec<Arc<dyn Guard>>,
    /// Receives audit events.
    pub audit: Arc<dyn AuditSink>,
    /// The clock for expiry and audit records.
    pub clock: Arc<dyn Clock>,
}

impl McpGateway {
    /// Creates a gateway from these parts. It serves nothing until something is published.
    ///
    /// For an example, see [`McpGateway::builder`], which fills in the parts.
    pub fn new(parts: GatewayParts) -> Self {
        let services = Arc::new(Services::new(parts));
        // Outside of a runtime, the first request starts it.
        services.housekeeping.start();
        let path = services.config.path.as_str().into();
        Self { services, path }
    }

    /// Returns the same gateway below another path than [`GatewayConfig::path`], so that gateway `default` is at
    /// `<path>/default` and nowhere else. A router that cuts a prefix off takes one at the empty path.
    ///
    /// ```
    /// use http::{Request, StatusCode};
    /// use http_body_util::Empty;
    /// use portolan_gateway::McpGateway;
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(async {
    /// // As axum's `nest_service("/mcp", nested)` takes it.
    /// let nested = McpGateway::builder().build().expect("a gateway").at_path("");
    /// for (path, status) in [("/default", StatusCode::UNAUTHORIZED), ("/mcp/default", StatusCode::NOT_FOUND)] {
    ///     let request = Request::post(path).header("host", "localhost").body(Empty::new()).expect("a request");
    ///     assert_eq!(nested.respond(request).await.status(), status);
    /// }
    /// # });
    /// ```
    #[must_use]
    pub fn at_path(&self, path: impl Into<Arc<str>>) -> Self {
        Self {
            services: self.services.clone(),
            path: path.into(),
        }
    }

    /// The path that this clone answers below.
    #[cfg(feature = "axum")]
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// Returns the number of sessions of legacy clients in memory.
    pub fn session_count(&self) -> usize {
        self.services.sessions.count()
    }

    /// Returns the number of calls that wait for their clients' responses to server requests.
    pub fn server_request_count(&self) -> usize {
        self.services.server_requests.count()
    }

    /// Returns the number of call streams kept for replay, so that legacy clients whose connections break can resume
    /// them: running ones, and recently ended ones.
    pub fn replay_count(&self) -> usize {
        self.services.replay_store.len()
    }

    /// Returns the number of open notification streams: listens of modern clients, and GET streams of legacy sessions.
    pub fn stream_count(&self) -> usize {
        self.services.subscriptions.count()
    }

    /// Prepares for a shutdown. Ends notification streams (listens with their result, as 2026-07-28 requires) and
    /// refuses new ones, so that clients open them on another replica. Calls that only this replica could continue
    /// stop waiting for responses of clients: suspended calls of modern clients are cancelled at their servers, and
    /// calls of legacy clients fail. Then waits at most `within` for calls in flight and for background work such as
    /// cancellations. Calls are still served, but no longer suspended.
    ///
    /// ```
    /// # async fn example(gateway: portolan_gateway::McpGateway) {
    /// gateway.drain(std::time::Duration::from_secs(10)).await;
    /// # }
    /// ```
    pub async fn drain(&self, within: Duration) {
        let services = &self.services;
        services.subscriptions.drain();
        services.server_requests.drain();
        let background = services.client.background();
        let quiet = async {
            // Waiting for permits would block new calls.
            while !services.relay.is_idle() || services.server_requests.suspended_count() > 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            background.close();
            background.wait().await;
        };
        let _ = tokio::time::timeout(within, quiet).await;
        background.reopen();
    }

    /// Shuts the gateway down: refuses new calls, [drains](Self::drain), closes all sessions and streams to servers, then
    /// ends the child processes of `Upstream::command`, all at once: closed inputs, `SIGTERM`, `SIGKILL`. Takes at most
    /// `within`; if there are child processes, up to 10 s of it, but no more than half, is kept for them.
    ///
    /// When this returns, no call is in flight, unless it took longer than that, and no child process is left. The gateway
    /// cannot be used again.
    ///
    /// ```
    /// # async fn example(gateway: portolan_gateway::McpGateway) {
    /// gateway.shutdown(std::time::Duration::from_secs(10)).await;
    /// # }
    /// ```
    pub async fn shutdown(&self, within: Duration) {
        let deadline = tokio::time::Instant::now() + within;
        let for_children = if self.has_children() {
            CHILDREN.min(within / 2)
        } else {
            Duration::ZERO
        };
        self.services.relay.refuse_calls();
        self.drain(within - for_children).await;
        let closed = tokio::time::timeout_at(deadline - for_children, self.services.client.closed());
        let _ = closed.await;
        self.stop_children(Some(deadline.saturating_duration_since(tokio::time::Instant::now())))
            .await;
    }

    fn has_children(&self) -> bool {
        #[cfg(feature = "process")]
        return !self.services.children.is_empty();
        #[cfg(not(feature = "process"))]
        false
    }

    /// Ends the child processes in order: within that time, else each step within the grace of its configuration.
    #[cfg_attr(
        not(feature = "process"),
        expect(clippy::unused_async, reason = "there are no processes")
    )]
    pub(crate) async fn stop_children(&self, within: Option<Duration>) {
        #[cfg(feature = "process")]
        self.services.children.stop(within).await;
        #[cfg(not(feature = "process"))]
        let _ = within;
    }

    #[cfg(feature = "serve")]
    pub(crate) fn drain_timeout(&self) -> Duration {
        self.services.config.timeouts.drain
    }

    /// Answers one request.
    ///
    /// ```
    /// use http::{Request, StatusCode};
    /// use http_body_util::Empty;
    /// use portolan_gateway::McpGateway;
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(async {
    /// let gateway = McpGateway::builder().build().expect("a gateway");
    /// let request = Request::post("/mcp/default").header("host", "localhost").body(Empty::new()).expect("a request");
    /// assert_eq!(gateway.respond(request).await.status(), StatusCode::UNAUTHORIZED);
    /// # });
    /// ```
    pub async fn respond<B>(&self, request: Request<B>) -> Response<Body>
    where
        B: http_body::Body<Data = Bytes>,
    {
        let (head, body) = request.into_parts();
        let mut body = pin!(body);
        let waits_for_us = head.headers.contains_key(header::EXPECT);
        match self.services.serve(&self.path, head, body.as_mut()).await {
            Ok(response) => response,
            Err(rejection) => {
                if !waits_for_us && !body.is_end_stream() {
                    Box::pin(edge::drain(body)).await;
                }
                rejection.into_response()
            }
        }
    }
}

impl Services {
    fn new(mut parts: GatewayParts) -> Self {
        let guards = Guards::new(std::mem::take(&mut parts.guards));
        let (base, table, authentication) = Foundation::new(parts);
        let state = ClientState::new(&base);
        let (config, replicas) = (base.config.clone(), base.replicas.clone());
        let relay = Arc::new(Relay::new(
            &config,
            &base.resolver,
            &state.server_requests,
            &state.tasks,
            &replicas,
            &base.audit,
            &base.clock,
            guards,
        ));
        let protocol = Protocol {
            lists: Lists::new(&config, &base.resolver, state.cursors),
            replays: Replays::new(&config, &base.keys, &replicas, &state.replay_store, &base.background),
            config: config.clone(),
            sessions: state.sessions.clone(),
            relay: relay.clone(),
            tasks: state.tasks,
            subscriptions: state.subscriptions.clone(),
            server_requests: state.server_requests.clone(),
            replicas: replicas.clone(),
            background: base.background,
        };
        let (table, authentication) = (Arc::new(table), Arc::new(authentication));
        let housekeeping = Arc::new(Housekeeping {
            config: config.clone(),
            table: table.clone(),
            authentication: authentication.clone(),
            sessions: state.sessions.clone(),
            replay_store: state.replay_store.clone(),
            subscriptions: state.subscriptions.clone(),
            replicas,
            ended: base.client.ended().clone(),
            started: AtomicBool::new(false),
        });
        let start = u64::from_be_bytes(first_bytes(crate::replicas::random_handle()));
        Self {
            _ends: base.client.ended().clone().drop_guard(),
            next_request: AtomicU64::new(start),
            #[cfg(feature = "process")]
            children: crate::children::Children::default(),
            config,
            client: base.client,
            table,
            authentication,
            sessions: state.sessions,
            replay_store: state.replay_store,
            server_requests: state.server_requests,
            subscriptions: state.subscriptions,
            relay,
            protocol,
            housekeeping,
        }
    }

    /// Handles a request: checks its origin, finds the gateway, authenticates the caller, and dispatches the message.
    async fn serve<B>(&self, path: &str, head: Parts, body: Pin<&mut B>) -> Result<Response<Body>, Rejection>
    where
        B: http_body::Body<Data = Bytes>,
    {
        self.housekeeping.start();
        edge::check_origin(&self.config, &head)?;
        let request_id = RequestLabel::new(self.next_request.fetch_add(1, Ordering::Relaxed));
        let name = gateway_name(path, head.uri.path());
        let Some(gateway) = name.and_then(|name| self.table.get(name)) else {
            return Err(self.unknown_gateway(name, &head, request_id.as_str()).await);
        };
        let caller = self
            .authentication
            .caller(&gateway.spec.name, &head, request_id.as_str())
            .await?;
        let context = Arc::new(RequestContext {
            gateway,
            caller,
            headers: head.headers,
            uri: head.uri,
            extensions: head.extensions,
            request_id,
        });
        match head.method {
            Verb::POST => {}
            Verb::DELETE if edge::names_session(&context.headers) => {
                return Box::pin(self.protocol.end_session(&context)).await;
            }
            Verb::GET => return Box::pin(self.protocol.get(&context)).await,
            _ => return Err(Rejection::method("POST")),
        }
        edge::check_types(&context.headers)?;
        let text = edge::read(&self.config, &context.headers, body).await?;
        let limits = envelope::ParseLimits {
            depth: self.config.limits.depth,
            batch: self.config.limits.batch,
        };
        match envelope::parse(&text, &limits)? {
            Incoming::Batch(batch) => Box::pin(self.protocol.serve_batch(&context, batch)).await,
            Incoming::One(message) => self.protocol.serve_message(&context, message, text).await,
        }
    }

    /// Returns the error for an unknown gateway. Only authenticated callers learn that it does not exist.
    async fn unknown_gateway(&self, name: Option<&str>, head: &Parts, request_id: &str) -> Rejection {
        let Some(name) = name.and_then(|name| GatewayName::parse(name).ok()) else {
            return Rejection::http(StatusCode::NOT_FOUND, "no such endpoint");
        };
        match self.authentication.caller(&name, head, request_id).await {
            Ok(_) => Rejection::http(StatusCode::NOT_FOUND, "no such gateway"),
            Err(refused) => refused,
        }
    }
}

/// Returns the gateway that a path names: the part after `base`.
fn gateway_name<'a>(base: &str, path: &'a str) -> Option<&'a str> {
    let name = path.strip_prefix(base.trim_end_matches('/'))?.strip_prefix('/')?;
    Some(name.strip_suffix('/').unwrap_or(name))
}

fn first_bytes(handle: [u8; 16]) -> [u8; 8] {
    let [a, b, c, d, e, f, g, h, ..] = handle;
    [a, b, c, d, e, f, g, h]
}

impl<B> tower_service::Service<Request<B>> for McpGateway
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Send,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let gateway = self.clone();
        Box::pin(async move { Ok(gateway.respond(request).await) })
    }
}

impl fmt::Debug for McpGateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("McpGateway")
            .field("published", &self.services.table.names())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gateway_name_from_path() {
        assert_eq!(gateway_name("/mcp", "/mcp/a"), Some("a"));
        assert_eq!(gateway_name("/mcp/", "/mcp/a/"), Some("a"));
        assert_eq!(gateway_name("/mcp", "/a"), None);
        assert_eq!(gateway_name("/mcp", "/mcpx/a"), None);
        assert_eq!(gateway_name("", "/a"), Some("a"));
        // Not a valid name, so it is not found.
        assert_eq!(gateway_name("", "/mcp/a"), Some("mcp/a"));
    }
}
