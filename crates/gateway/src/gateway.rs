//! The gateway: its services, and the way of every request through them.

mod publishing;

use std::{
    convert::Infallible,
    fmt,
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Method as Verb, Request, Response, StatusCode};
use portolan_client::Client;
use portolan_core::{
    AuditSink, Authenticator, Bus, Clock, CredentialBroker, GatewayName, Policy, Result, SessionStore,
};
use portolan_wire::envelope;
use tokio_util::sync::DropGuard;

use crate::{
    body::Body,
    config::GatewayConfig,
    cursor::Cursors,
    edge::{self, Authentication},
    housekeeping::Housekeeping,
    lists::Lists,
    protocol::Protocol,
    relay::Relay,
    replay::{ReplayStore, Replays},
    replicas::Replicas,
    reply::Rejection,
    routing::{RequestContext, Resolver, RouteTable},
    seal::TokenKeys,
    server_requests::ServerRequests,
    sessions::Sessions,
    subscriptions::Subscriptions,
    tasks::Tasks,
};

/// Serves gateways to MCP clients of both eras, at `/mcp/<gateway>`.
///
/// It is a [`tower_service::Service`] over any body, so that every hyper-based server can mount it, and cheap to clone:
/// clones are one gateway.
#[derive(Clone)]
pub struct McpGateway {
    services: Arc<Services>,
    /// The path that this clone answers below.
    path: Arc<str>,
}

/// The services that a gateway is made of.
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
    /// Ends what works in the background when the gateway is gone.
    _ends: DropGuard,
}

/// The parts that a gateway works with.
#[derive(Debug)]
pub struct GatewayParts {
    /// How it behaves.
    pub config: GatewayConfig,
    /// What session ids and cursors are sealed with. Replicas share them.
    pub keys: TokenKeys,
    /// Who calls. Without any, every request is refused.
    pub authenticators: Vec<Arc<dyn Authenticator>>,
    /// Who may use what.
    pub policy: Arc<dyn Policy>,
    /// As whom servers are called.
    pub broker: Arc<dyn CredentialBroker>,
    /// Where self-hosted servers run. Without one, only remote servers can be published.
    pub runtime: Option<Arc<dyn portolan_core::Runtime>>,
    /// What sessions need beyond their ids.
    pub sessions: Arc<dyn SessionStore>,
    /// How replicas of this gateway tell each other what has changed. Without one, this is the only replica.
    pub bus: Option<Arc<dyn Bus>>,
    /// Who is told of calls.
    pub audit: Arc<dyn AuditSink>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
}

impl McpGateway {
    /// Creates a gateway of these parts, which serves nothing until something is published.
    ///
    /// For an example, see [`McpGateway::builder`], which fills in the parts.
    pub fn new(parts: GatewayParts) -> Self {
        let services = Arc::new(Services::new(parts));
        // Outside of a runtime, the first request does this.
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

    /// Returns the number of sessions of legacy clients that are remembered now.
    pub fn session_count(&self) -> usize {
        self.services.sessions.count()
    }

    /// Returns the number of calls that wait now for their clients' answers to server requests.
    pub fn question_count(&self) -> usize {
        self.services.server_requests.count()
    }

    /// Returns the number of streams of calls that are kept now, so that legacy clients whose connections break can resume
    /// them: those that go on, and those that have ended a while ago.
    pub fn replay_count(&self) -> usize {
        self.services.replay_store.len()
    }

    /// Returns the number of streams outside of calls that are open now: listens of modern clients, GET streams of legacy
    /// ones.
    pub fn stream_count(&self) -> usize {
        self.services.subscriptions.count()
    }

    /// Prepares for the end: ends the streams outside of calls (listens with their result, as 2026-07-28 asks) and takes
    /// no more of them, so that clients open them elsewhere. Calls that wait here for a person, and could be answered nowhere
    /// else, are not waited for: suspended calls of modern clients are cancelled at their servers, and a client that comes
    /// back to one learns that it is lost; a legacy client whose call would be sent again with answers gets a failure on its
    /// stream. Then waits for the calls under way and for what outlives them (cancellations, ended sessions), at most
    /// `within`. Calls are still served; none is suspended any more.
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
            // To wait for permits would keep new calls out.
            while !services.relay.is_quiet() || services.server_requests.suspended_count() > 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            background.close();
            background.wait().await;
        };
        let _ = tokio::time::timeout(within, quiet).await;
        background.reopen();
    }

    /// Ends the gateway in order: refuses new calls, does what [`drain`](Self::drain) does, then closes every stream that
    /// the gateway has open to a server, with the session that it is in. Takes at most `within`.
    ///
    /// When this returns no call is under way, unless it took longer than `within`. The gateway cannot be used again.
    ///
    /// ```
    /// # async fn example(gateway: portolan_gateway::McpGateway) {
    /// gateway.shutdown(std::time::Duration::from_secs(10)).await;
    /// # }
    /// ```
    pub async fn shutdown(&self, within: Duration) {
        let deadline = tokio::time::Instant::now() + within;
        self.services.relay.refuse_calls();
        self.drain(within).await;
        let _ = tokio::time::timeout_at(deadline, self.services.client.closed()).await;
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
        match self.services.serve(&self.path, request).await {
            Ok(response) => response,
            Err(rejection) => rejection.into_response(),
        }
    }
}

impl Services {
    fn new(parts: GatewayParts) -> Self {
        let (config, keys, clock) = (Arc::new(parts.config), Arc::new(parts.keys), parts.clock);
        let client = Client::new(config.client(parts.audit.clone()));
        let background = client.background().clone();
        let resolver = Arc::new(Resolver::new(parts.policy, parts.broker));
        let table = Arc::new(RouteTable::new(parts.runtime, client.clone()));
        let replicas = Arc::new(Replicas::new(&config, parts.bus, client.clone()));
        let authentication = Authentication::new(parts.authenticators, parts.audit.clone(), clock.clone());
        let authentication = Arc::new(authentication);
        let replay_store = Arc::new(ReplayStore::new(&config, background.clone()));
        let sessions = Arc::new(Sessions::new(
            &config,
            keys.clone(),
            parts.sessions.clone(),
            clock.clone(),
            background.clone(),
            replay_store.clone(),
        ));
        let server_requests = Arc::new(ServerRequests::new(&config, &keys, &clock, &resolver, &replicas));
        let cursors = Cursors::new(keys.clone());
        let tasks = Arc::new(Tasks::new(
            &config,
            &keys,
            &clock,
            parts.sessions,
            &resolver,
            &sessions,
            cursors.clone(),
            &server_requests,
        ));
        let subscriptions = Arc::new(Subscriptions::new(
            &config,
            &keys,
            &resolver,
            &sessions,
            &replicas,
            &server_requests,
            &background,
        ));
        let relay = Relay::new(
            &config,
            &resolver,
            &server_requests,
            &tasks,
            &replicas,
            &parts.audit,
            &clock,
        );
        let relay = Arc::new(relay);
        let protocol = Protocol {
            lists: Lists::new(&config, &resolver, cursors),
            replays: Replays::new(&config, &keys, &replicas, &replay_store, &background),
            config: config.clone(),
            sessions: sessions.clone(),
            relay: relay.clone(),
            tasks,
            subscriptions: subscriptions.clone(),
            server_requests: server_requests.clone(),
            replicas: replicas.clone(),
            background,
        };
        let housekeeping = Arc::new(Housekeeping {
            config: config.clone(),
            table: table.clone(),
            authentication: authentication.clone(),
            sessions: sessions.clone(),
            replay_store: replay_store.clone(),
            subscriptions: subscriptions.clone(),
            replicas,
            ended: client.ended().clone(),
            started: AtomicBool::new(false),
        });
        let start = u64::from_be_bytes(first_bytes(crate::replicas::random_handle()));
        Self {
            _ends: client.ended().clone().drop_guard(),
            next_request: AtomicU64::new(start),
            config,
            client,
            table,
            authentication,
            sessions,
            replay_store,
            server_requests,
            subscriptions,
            relay,
            protocol,
            housekeeping,
        }
    }

    /// The way of every request: which gateway, from where, by whom, and what.
    async fn serve<B>(&self, path: &str, request: Request<B>) -> Result<Response<Body>, Rejection>
    where
        B: http_body::Body<Data = Bytes>,
    {
        self.housekeeping.start();
        let (head, body) = request.into_parts();
        edge::check_origin(&self.config, &head)?;
        let request_id: Box<str> = format!("{:016x}", self.next_request.fetch_add(1, Ordering::Relaxed)).into();
        let name = gateway_name(path, head.uri.path());
        let Some(gateway) = name.and_then(|name| self.table.get(name)) else {
            return Err(self.unknown_gateway(name, &head, &request_id).await);
        };
        let caller = self
            .authentication
            .caller(&gateway.spec.name, &head, &request_id)
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
        let incoming = envelope::parse(&text, &limits)?;
        self.protocol.post(&context, incoming, text).await
    }

    /// A caller who may not come in is not told which gateways there are.
    async fn unknown_gateway(&self, name: Option<&str>, head: &http::request::Parts, request_id: &str) -> Rejection {
        let Some(name) = name.and_then(|name| GatewayName::parse(name).ok()) else {
            return Rejection::http(StatusCode::NOT_FOUND, "no such endpoint");
        };
        match self.authentication.caller(&name, head, request_id).await {
            Ok(_) => Rejection::http(StatusCode::NOT_FOUND, "no such gateway"),
            Err(refused) => refused,
        }
    }
}

/// The gateway that a path names: the part after `base`.
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
    fn gateway_is_below_its_path_and_nowhere_else() {
        assert_eq!(gateway_name("/mcp", "/mcp/a"), Some("a"));
        assert_eq!(gateway_name("/mcp/", "/mcp/a/"), Some("a"));
        assert_eq!(gateway_name("/mcp", "/a"), None);
        assert_eq!(gateway_name("/mcp", "/mcpx/a"), None);
        assert_eq!(gateway_name("", "/a"), Some("a"));
        // Not a name, so it is not found.
        assert_eq!(gateway_name("", "/mcp/a"), Some("mcp/a"));
    }
}
