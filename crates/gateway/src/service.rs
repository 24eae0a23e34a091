//! The gateway as a service: the way of every request, from top to bottom.

use std::{
    convert::Infallible,
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use http::{Method as Verb, Request, Response, StatusCode};
use http_body::Body as HttpBody;
use portolan_core::{
    AuditSink, Authenticator, BoxError, Bus, Clock, CredentialBroker, Discovery, Endpoint, Gateway, GatewayName,
    Policy, Publication, Result, ServerName, ServerSnapshot, ServerSpec, SessionStore, Source, Tool,
    UpstreamCredential,
};
use portolan_wire::{
    envelope::{self, Incoming, Message},
    era::{self, ClientEra},
    object::RawObject,
};
use tokio::sync::Semaphore;
use tokio_util::sync::DropGuard;

use crate::{
    auth,
    body::{Body, KeepAliveBody},
    call_future::FuturePool,
    config::GatewayConfig,
    exposure::ExposedTools,
    guard, intake,
    replay::ReplayStore,
    reply::Rejection,
    request_context::RequestContext,
    routes::RouteTable,
    seal::TokenKeys,
    server_requests::ServerRequests,
    session::Sessions,
    subscriptions::Streams,
    tasks::TaskInputs,
    upstream::{Connector, UpstreamServer},
};

/// Serves gateways to MCP clients of both eras, at `/mcp/<gateway>`.
///
/// It is a [`tower_service::Service`] over any body, so that every hyper-based server can mount it, and cheap to clone:
/// clones are one gateway.
#[derive(Clone)]
pub struct McpGateway {
    inner: Arc<Inner>,
}

/// What a gateway is made of.
pub(crate) struct Inner {
    pub(crate) config: Arc<GatewayConfig>,
    pub(crate) table: RouteTable,
    pub(crate) sessions: Sessions,
    pub(crate) keys: Arc<TokenKeys>,
    pub(crate) authenticators: Vec<Arc<dyn Authenticator>>,
    pub(crate) policy: Arc<dyn Policy>,
    pub(crate) broker: Arc<dyn CredentialBroker>,
    pub(crate) audit: Arc<dyn AuditSink>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) connector: Arc<Connector>,
    pub(crate) calls: Arc<Semaphore>,
    pub(crate) future_pool: Arc<FuturePool>,
    pub(crate) server_requests: ServerRequests,
    pub(crate) replay_store: Arc<ReplayStore>,
    pub(crate) task_inputs: TaskInputs,
    pub(crate) bus: Option<Arc<dyn Bus>>,
    pub(crate) streams: Streams,
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
    /// A gateway of these parts, which serves nothing until something is published.
    pub fn new(parts: GatewayParts) -> Self {
        let config = Arc::new(parts.config);
        let keys = Arc::new(parts.keys);
        let connector = Arc::new(Connector::new(config.clone(), parts.audit.clone()));
        let replay_store = Arc::new(ReplayStore::new(&config, connector.tasks.clone()));
        let inner = Inner {
            table: RouteTable::new(parts.runtime, connector.clone()),
            sessions: Sessions::new(
                &config,
                keys.clone(),
                parts.sessions,
                parts.clock.clone(),
                connector.tasks.clone(),
                replay_store.clone(),
            ),
            replay_store,
            calls: Arc::new(Semaphore::new(config.limits.calls.min(Semaphore::MAX_PERMITS))),
            future_pool: Arc::default(),
            server_requests: ServerRequests::new(&config),
            task_inputs: TaskInputs::new(&config),
            bus: parts.bus,
            streams: Streams::new(&config),
            _ends: connector.ended.clone().drop_guard(),
            keys,
            authenticators: parts.authenticators,
            policy: parts.policy,
            broker: parts.broker,
            audit: parts.audit,
            clock: parts.clock,
            connector,
            config,
        };
        let inner = Arc::new(inner);
        // Outside of a runtime, the first session or stream does this.
        inner.keep();
        Self { inner }
    }

    /// How many sessions of legacy clients are remembered now.
    pub fn session_count(&self) -> usize {
        self.inner.sessions.count()
    }

    /// How many calls wait now for their clients' answers to servers' questions.
    pub fn question_count(&self) -> usize {
        self.inner.server_requests.count()
    }

    /// How many streams of calls are kept now, so that legacy clients whose connections break can go on with them: those
    /// that go on, and those that have ended a while ago.
    pub fn replay_count(&self) -> usize {
        self.inner.replay_store.len()
    }

    /// How many streams outside of calls are open now: listens of modern clients, GET streams of legacy ones.
    pub fn stream_count(&self) -> usize {
        self.inner.streams.count()
    }

    /// Prepares for the end: ends the streams outside of calls (listens with their result, as 2026-07-28 asks) and takes
    /// no more of them, so that clients open them elsewhere. What waits here for people, and could be answered nowhere
    /// else, is not waited for: calls that are kept for modern clients are cancelled at their servers, and who comes back
    /// to one is told that it is lost; a legacy client whose call would be made again with answers gets a failure on its
    /// stream. Then waits for the calls under way and for what outlives them (cancellations, ended sessions), at most
    /// this long. Calls go on to be served; no new ones are kept.
    pub async fn drain(&self, at_most: Duration) {
        self.inner.streams.drain();
        self.inner.server_requests.drain();
        let tasks = &self.inner.connector.tasks;
        let all = self.inner.places();
        let quiet = async {
            // To wait for the places themselves would keep new calls out.
            while self.inner.calls.available_permits() < all || self.inner.server_requests.kept() > 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            tasks.close();
            tasks.wait().await;
        };
        let _ = tokio::time::timeout(at_most, quiet).await;
        tasks.reopen();
    }

    /// Ends the gateway in order: refuses new calls, does what [`drain`](Self::drain) does, then closes every stream that
    /// the gateway has open to a server, with the session that it is in. Takes `within` at the most.
    ///
    /// When this returns no call is under way, unless it took longer than `within`. The gateway cannot be used again.
    pub async fn shutdown(&self, within: Duration) {
        let deadline = tokio::time::Instant::now() + within;
        self.inner.calls.close();
        self.drain(within).await;
        let Connector {
            ended, tasks, streams, ..
        } = &*self.inner.connector;
        ended.cancel();
        streams.close();
        tasks.close();
        let closed = async {
            // A stream that closes leaves the end of its session to do.
            streams.wait().await;
            tasks.wait().await;
        };
        let _ = tokio::time::timeout_at(deadline, closed).await;
    }

    pub(crate) fn adopt(&self, install: portolan_core::InstallName, upstream: &Arc<UpstreamServer>) {
        self.inner.table.adopt(install, upstream);
    }

    pub(crate) fn publish_now(&self, publication: Publication) -> Result<()> {
        let name = publication.gateway.name.clone();
        if self.inner.table.publish(publication)? {
            self.inner.republished(&name);
        }
        Ok(())
    }

    /// Asks a server in the background what it can do, so that the first client need not wait.
    pub(crate) fn warm(&self, link: Arc<UpstreamServer>, credential: Arc<UpstreamCredential>) {
        self.inner.connector.tasks.spawn(async move {
            if let Err(error) = link.listed::<ExposedTools>(&credential).await {
                tracing::warn!(server = %link.server.name, %error, "a server cannot be asked for its tools yet");
            }
        });
    }

    pub(crate) fn connector(&self) -> Arc<Connector> {
        self.inner.connector.clone()
    }

    /// Answers one request.
    pub async fn respond<B>(&self, request: Request<B>) -> Response<Body>
    where
        B: http_body::Body<Data = Bytes>,
    {
        match self.inner.serve(request).await {
            Ok(response) => response,
            Err(rejection) => rejection.into_response(),
        }
    }
}

impl Inner {
    /// A stream of events to a client, kept awake.
    pub(crate) fn keep_alive(
        &self,
        events: impl HttpBody<Data = Bytes, Error = BoxError> + Send + Unpin + 'static,
    ) -> Body {
        Body::relayed(KeepAliveBody::new(events, self.config.timeouts.keep_alive))
    }

    /// How many calls may be under way at once.
    fn places(&self) -> usize {
        self.config.limits.calls.min(Semaphore::MAX_PERMITS)
    }

    async fn serve<B>(self: &Arc<Self>, request: Request<B>) -> Result<Response<Body>, Rejection>
    where
        B: http_body::Body<Data = Bytes>,
    {
        let (head, body) = request.into_parts();
        // who?
        guard::check(&self.config, &head)?;
        let name = gateway_name(head.uri.path());
        let Some(gateway) = self.table.get(name) else {
            return Err(self.unknown_gateway(name, &head).await);
        };
        let caller = auth::authenticate(&self.authenticators, &gateway.spec.name, &head).await?;
        let context = Arc::new(RequestContext {
            gateway,
            caller,
            headers: head.headers,
            uri: head.uri,
            extensions: head.extensions,
        });
        // what?
        match head.method {
            Verb::POST => {}
            Verb::DELETE if intake::names_session(&context.headers) => {
                return Box::pin(self.end_session(&context)).await;
            }
            Verb::GET => return Box::pin(self.open_stream(&context)).await,
            _ => return Err(Rejection::method("POST")),
        }
        intake::check_types(&context.headers)?;
        let text = intake::read(&self.config, &context.headers, body).await?;
        let limits = envelope::ParseLimits {
            depth: self.config.limits.depth,
            batch: self.config.limits.batch,
        };
        // which era?
        match envelope::parse(&text, &limits)? {
            Incoming::Batch(batch) => Box::pin(self.serve_batch(&context, batch)).await,
            Incoming::One(message) => self.serve_message(&context, message, text).await,
        }
    }

    /// Who may not come in is not told which gateways there are.
    async fn unknown_gateway(&self, name: &str, head: &http::request::Parts) -> Rejection {
        let Ok(name) = GatewayName::parse(name) else {
            return not_found("no such endpoint");
        };
        match auth::authenticate(&self.authenticators, &name, head).await {
            Ok(_) => not_found("no such gateway"),
            Err(refused) => refused,
        }
    }

    async fn serve_message(
        self: &Arc<Self>,
        context: &Arc<RequestContext>,
        message: Message,
        text: Bytes,
    ) -> Result<Response<Body>, Rejection> {
        intake::check_id(&message)?;
        let era = era::detect_client(&context.headers, &message, &self.config.versions).map_err(|fault| {
            // The id of a response is not one that the sender waits under.
            let id = message.id().filter(|_| matches!(message, Message::Request(_)));
            Rejection::from(fault).with_id(id.cloned())
        })?;
        match (era, message) {
            (ClientEra::Modern(call), message) => self.serve_modern(context, message, *call, text).await,
            (ClientEra::Initialize { requested }, Message::Request(request)) => {
                self.keep();
                self.initialize(context, &request, &requested)
            }
            (ClientEra::Legacy { params, .. }, message) => self.serve_legacy(context, message, params, text).await,
            (ClientEra::Initialize { .. }, message) => {
                self.serve_legacy(context, message, RawObject::new(), text).await
            }
        }
    }
}

/// The gateway that a path names: the last part of `/mcp/<gateway>`, or of `/<gateway>` where a host has cut the rest off.
fn gateway_name(path: &str) -> &str {
    let path = path.strip_prefix('/').unwrap_or(path);
    let name = path.strip_prefix("mcp/").unwrap_or(path);
    name.strip_suffix('/').unwrap_or(name)
}

fn not_found(problem: &'static str) -> Rejection {
    Rejection::http(StatusCode::NOT_FOUND, problem)
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

#[async_trait]
impl Gateway for McpGateway {
    async fn publish(&self, publication: Publication) -> Result<()> {
        self.publish_now(publication)
    }

    async fn withdraw(&self, name: &GatewayName) -> Result<()> {
        self.inner.table.withdraw(name);
        self.inner.republished(name);
        Ok(())
    }

    async fn published(&self) -> Result<Vec<GatewayName>> {
        Ok(self.inner.table.names())
    }
}

#[async_trait]
impl Discovery for McpGateway {
    async fn snapshot(&self, endpoint: &Endpoint, credential: &UpstreamCredential) -> Result<ServerSnapshot> {
        let upstream = self.stranger(endpoint)?;
        upstream.snapshot(&Arc::new(credential.clone())).await
    }

    async fn tools(&self, endpoint: &Endpoint, credential: &UpstreamCredential) -> Result<Vec<Tool>> {
        let upstream = self.stranger(endpoint)?;
        upstream.discover(&Arc::new(credential.clone())).await
    }
}

impl McpGateway {
    /// An upstream at `endpoint` that belongs to no server of the catalogue yet.
    fn stranger(&self, endpoint: &Endpoint) -> Result<Arc<UpstreamServer>> {
        // The name stands in messages only: a discovery belongs to no server yet.
        let source = Source::Command {
            program: "discovery".into(),
            args: Vec::new(),
            transport: Default::default(),
        };
        let server = Arc::new(ServerSpec::new(ServerName::parse("discovery")?, source)?);
        UpstreamServer::endpoint(server, endpoint.clone(), self.connector()).map(Arc::new)
    }
}

impl fmt::Debug for McpGateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("McpGateway")
            .field("published", &self.inner.table.names())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Inner")
    }
}
