//! A gateway under test that listens, alone or as one of two replicas.

use std::{net::SocketAddr, ops::Deref, sync::Arc};

use portolan_core::{
    AllowAll, AuditSink, Authenticator, Clock, CredentialBroker, Gateway, GatewayName, GatewaySpec, Install,
    InstallName, Naming, Owner, Policy, Publication, Route, ServerRequestPolicy, ServerSpec, Subject, SystemClock,
    TokenGrant, TraceAudit, UserId,
    memory::{MemoryBus, MemorySessions, NoCredentials},
};
use portolan_gateway::{Builder, GatewayConfig, GatewayParts, McpGateway, StaticTokens, TokenKeys, Upstream, digest};
use tokio::{net::TcpListener, runtime::Runtime, task::JoinHandle};

use super::client::{Client, ClientVersion};

/// A gateway that listens until it is dropped. It lets alice and bob in.
pub(crate) struct TestGateway {
    pub(crate) address: SocketAddr,
    gateway: McpGateway,
    serving: Serving,
}

/// What runs a gateway.
enum Serving {
    Task(JoinHandle<()>),
    /// Threads of its own, so that it can be killed in the middle of everything.
    Runtime(Option<Runtime>),
}

/// Builds a [`TestGateway`].
///
/// It is built with [`McpGateway::builder`], or from [`GatewayParts`] with a publication where a test replaces parts.
pub(crate) struct TestGatewayBuilder<'a> {
    servers: Vec<(String, Server)>,
    server_requests: ServerRequestPolicy,
    config: GatewayConfig,
    settings: Builder,
    parts: Vec<Box<PartsChange<'a>>>,
    names: Vec<&'static str>,
    own_threads: bool,
}

/// A change of the parts of the replica of this number.
type PartsChange<'a> = dyn Fn(usize, &mut GatewayParts) + 'a;

enum Server {
    Url(String),
    Upstream(Upstream),
}

impl TestGateway {
    pub(crate) fn builder<'a>() -> TestGatewayBuilder<'a> {
        TestGatewayBuilder {
            servers: Vec::new(),
            server_requests: ServerRequestPolicy::default(),
            config: GatewayConfig::default(),
            settings: McpGateway::builder().authenticator(tokens()),
            parts: Vec::new(),
            names: vec!["default"],
            own_threads: false,
        }
    }

    /// Starts a gateway in front of one server, `up`.
    pub(crate) async fn with_server(url: impl Into<String>) -> Self {
        Self::builder().server("up", url).start().await
    }

    /// Builds a gateway in front of one server, `up`, that may send clients requests of all kinds.
    pub(crate) fn requesting<'a>(url: impl Into<String>) -> TestGatewayBuilder<'a> {
        let builder = Self::builder().server("up", url);
        builder.server_requests(ServerRequestPolicy::ALL)
    }

    /// Starts a gateway in front of one server, `up`, whose tools keep their names.
    pub(crate) async fn with_plain_names(url: impl Into<String>) -> Self {
        Self::builder()
            .server("up", url)
            .settings(|builder| builder.naming(Naming::Plain))
            .start()
            .await
    }

    /// Serves what `make` makes, on the threads of the test.
    async fn serve(listener: TcpListener, make: impl Future<Output = McpGateway>) -> Self {
        let address = listener.local_addr().expect("an address");
        let gateway = make.await;
        let service = gateway.clone();
        let task = tokio::spawn(async move {
            let _ = portolan_gateway::serve(listener, service, std::future::pending()).await;
        });
        Self {
            address,
            gateway,
            serving: Serving::Task(task),
        }
    }

    /// Makes and serves it on threads of its own, with all that it has in the background.
    async fn serve_apart(listener: TcpListener, make: impl Future<Output = McpGateway> + Send + 'static) -> Self {
        let address = listener.local_addr().expect("an address");
        let listener = listener.into_std().expect("a listener");
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let starting = runtime.spawn(async move {
            let gateway = make.await;
            let listener = TcpListener::from_std(listener).expect("a listener");
            let service = gateway.clone();
            tokio::spawn(portolan_gateway::serve(listener, service, std::future::pending()));
            gateway
        });
        Self {
            address,
            gateway: starting.await.expect("started"),
            serving: Serving::Runtime(Some(runtime)),
        }
    }

    /// A client that has not sent anything yet.
    pub(crate) fn client(&self, version: ClientVersion) -> Client {
        Client::new(self.address, version)
    }

    /// A client after the handshake, where its version has one.
    pub(crate) async fn connect(&self, version: ClientVersion) -> Client {
        Client::connect(self.address, version).await
    }

    /// Such a client with these capabilities, as JSON.
    pub(crate) async fn connect_with(&self, version: ClientVersion, capabilities: &str) -> Client {
        Client::connect_with(self.address, version, capabilities).await
    }

    /// Publishes a gateway in front of servers at these URLs, for everybody.
    pub(crate) async fn publish(&self, name: &str, servers: &[(&str, &str)]) {
        let routes = routes(servers, ServerRequestPolicy::default());
        self.publish_routes(name, routes).await;
    }

    pub(crate) async fn withdraw(&self, name: &str) {
        Gateway::withdraw(&self.gateway, &gateway_name(name))
            .await
            .expect("withdrawn");
    }

    pub(crate) async fn publish_routes(&self, name: &str, routes: Vec<Route>) {
        publish(&self.gateway, name, routes).await;
    }

    pub(crate) async fn publish_whole(&self, publication: Publication) {
        Gateway::publish(&self.gateway, publication).await.expect("published");
    }

    /// The gateway itself, to be held longer than this.
    pub(crate) fn shared(&self) -> McpGateway {
        self.gateway.clone()
    }
}

impl Deref for TestGateway {
    type Target = McpGateway;

    fn deref(&self) -> &McpGateway {
        &self.gateway
    }
}

/// Ends it at once: sockets are closed, and nothing more is said to anybody.
impl Drop for TestGateway {
    fn drop(&mut self) {
        match &mut self.serving {
            Serving::Task(task) => task.abort(),
            Serving::Runtime(runtime) => {
                if let Some(runtime) = runtime.take() {
                    runtime.shutdown_background();
                }
            }
        }
    }
}

impl<'a> TestGatewayBuilder<'a> {
    /// Adds a server at a URL.
    pub(crate) fn server(mut self, name: &str, url: impl Into<String>) -> Self {
        self.servers.push((name.into(), Server::Url(url.into())));
        self
    }

    /// Adds any other upstream.
    pub(crate) fn upstream(mut self, name: &str, upstream: Upstream) -> Self {
        self.servers.push((name.into(), Server::Upstream(upstream)));
        self
    }

    pub(crate) fn servers(self, servers: &[(&str, &str)]) -> Self {
        let add = |builder: Self, (name, url): &(&str, &str)| builder.server(name, *url);
        servers.iter().fold(self, add)
    }

    pub(crate) fn upstreams<const N: usize>(self, upstreams: [(&str, Upstream); N]) -> Self {
        let add = |builder: Self, (name, upstream)| builder.upstream(name, upstream);
        upstreams.into_iter().fold(self, add)
    }

    /// Sets what servers at URLs may request of clients.
    pub(crate) fn server_requests(mut self, policy: ServerRequestPolicy) -> Self {
        self.server_requests = policy;
        self
    }

    pub(crate) fn config(mut self, change: impl FnOnce(&mut GatewayConfig)) -> Self {
        change(&mut self.config);
        self
    }

    /// Sets what the public builder has methods for: naming, aliases, policy, audit, processes.
    pub(crate) fn settings(mut self, change: impl FnOnce(Builder) -> Builder) -> Self {
        self.settings = change(self.settings);
        self
    }

    /// Lets in whom this authenticator knows, instead of alice and bob.
    pub(crate) fn authenticator(self, authenticator: impl Authenticator + 'static) -> Self {
        let authenticator: Arc<dyn Authenticator> = Arc::new(authenticator);
        self.parts(move |parts| parts.authenticators = vec![authenticator.clone()])
    }

    pub(crate) fn broker(self, broker: impl CredentialBroker + 'static) -> Self {
        let broker: Arc<dyn CredentialBroker> = Arc::new(broker);
        self.parts(move |parts| parts.broker = broker.clone())
    }

    pub(crate) fn runtime(self, runtime: Arc<dyn portolan_core::Runtime>) -> Self {
        self.parts(move |parts| parts.runtime = Some(runtime.clone()))
    }

    pub(crate) fn clock(self, clock: Arc<dyn Clock>) -> Self {
        self.parts(move |parts| parts.clock = clock.clone())
    }

    pub(crate) fn audit(self, audit: Arc<dyn AuditSink>) -> Self {
        self.parts(move |parts| parts.audit = audit.clone())
    }

    /// Replaces parts that have no method of their own here.
    pub(crate) fn parts(self, change: impl Fn(&mut GatewayParts) + 'a) -> Self {
        self.replica_parts(move |_, parts| change(parts))
    }

    /// Replaces parts of the replica of this number.
    pub(crate) fn replica_parts(mut self, change: impl Fn(usize, &mut GatewayParts) + 'a) -> Self {
        self.parts.push(Box::new(change));
        self
    }

    /// Publishes the servers under these names instead of `default`.
    pub(crate) fn published_as<const N: usize>(mut self, names: [&'static str; N]) -> Self {
        self.names = names.into();
        self
    }

    /// Publishes nothing at first.
    pub(crate) fn unpublished(self) -> Self {
        self.published_as([])
    }

    /// Runs each gateway on threads of its own, so that it can be killed in the middle of everything.
    pub(crate) fn own_threads(mut self) -> Self {
        self.own_threads = true;
        self
    }

    pub(crate) async fn start(self) -> TestGateway {
        let listener = listener().await;
        if self.parts.is_empty() && self.names == ["default"] {
            return TestGateway::serve(listener, async move { self.build() }).await;
        }
        let routes = self.routes();
        self.start_replica(0, listener, routes, |_| {}).await
    }

    /// Starts two gateways with the same keys, sessions and servers, which know each other's addresses.
    pub(crate) async fn start_replicas(self) -> [TestGateway; 2] {
        let sessions: Arc<MemorySessions> = Arc::default();
        self.start_pair(move |parts| parts.sessions = sessions.clone()).await
    }

    /// Starts two such gateways that share a bus too.
    pub(crate) async fn start_replicas_with_bus(self) -> [TestGateway; 2] {
        let (sessions, bus) = (Arc::new(MemorySessions::default()), Arc::new(MemoryBus::new()));
        self.start_pair(move |parts| {
            parts.sessions = sessions.clone();
            parts.bus = Some(bus.clone());
        })
        .await
    }

    async fn start_pair(self, share: impl Fn(&mut GatewayParts)) -> [TestGateway; 2] {
        // Installs have the same names everywhere.
        let routes = self.routes();
        let start = async |number: usize| {
            let listener = listener().await;
            let address = listener.local_addr().expect("an address");
            let common = |parts: &mut GatewayParts| {
                parts.keys = TokenKeys::new(1, &[9; 32]).expect("keys");
                parts.config.replica = Some(format!("http://{address}/mcp").parse().expect("a URL"));
                share(parts);
            };
            self.start_replica(number, listener, routes.clone(), common).await
        };
        [start(0).await, start(1).await]
    }

    async fn start_replica(
        &self,
        number: usize,
        listener: TcpListener,
        routes: Vec<Route>,
        common: impl FnOnce(&mut GatewayParts),
    ) -> TestGateway {
        let mut parts = parts();
        parts.config = self.config.clone();
        common(&mut parts);
        for change in &self.parts {
            change(number, &mut parts);
        }
        let names = self.names.clone();
        let make = async move {
            let gateway = McpGateway::new(parts);
            for name in names {
                publish(&gateway, name, routes.clone()).await;
            }
            gateway
        };
        match self.own_threads {
            true => TestGateway::serve_apart(listener, make).await,
            false => TestGateway::serve(listener, make).await,
        }
    }

    fn routes(&self) -> Vec<Route> {
        let servers = self.servers.iter().map(|(name, server)| match server {
            Server::Url(url) => (name.as_str(), url.as_str()),
            Server::Upstream(_) => panic!("servers of replaced parts have URLs"),
        });
        routes(&servers.collect::<Vec<_>>(), self.server_requests)
    }

    /// Builds it, and does not serve.
    pub(crate) fn build(self) -> McpGateway {
        let requests = self.server_requests;
        let mut builder = self.settings.config(self.config);
        for (name, server) in self.servers {
            let upstream = match server {
                Server::Url(url) => Upstream::http(url).server_requests(requests),
                Server::Upstream(upstream) => upstream,
            };
            builder = builder.upstream(name, upstream);
        }
        builder.build().expect("a gateway")
    }
}

async fn publish(gateway: &McpGateway, name: &str, routes: Vec<Route>) {
    let publication = Publication::new(GatewaySpec::new(gateway_name(name)), routes);
    Gateway::publish(gateway, publication).await.expect("published");
}

async fn listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.expect("a port")
}

/// The tokens of alice and bob.
pub(crate) fn tokens() -> StaticTokens {
    StaticTokens::from_users([("alice", digest("alice-token")), ("bob", digest("bob-token"))]).expect("tokens")
}

pub(crate) fn user(name: &str) -> UserId {
    UserId::parse(name).expect("a user")
}

pub(crate) fn gateway_name(name: &str) -> GatewayName {
    GatewayName::parse(name).expect("a gateway's name")
}

pub(crate) fn grant(token: &str, subject: Subject) -> TokenGrant {
    TokenGrant::new(digest(token), subject, SystemClock.now())
}

/// The parts of a gateway, of which tests replace one or two.
pub(crate) fn parts() -> GatewayParts {
    GatewayParts {
        config: GatewayConfig::default(),
        keys: TokenKeys::random().expect("keys"),
        authenticators: vec![Arc::new(tokens())],
        policy: Arc::new(AllowAll) as Arc<dyn Policy>,
        broker: Arc::new(NoCredentials) as Arc<dyn CredentialBroker>,
        runtime: None,
        sessions: Arc::new(MemorySessions::default()),
        bus: None,
        audit: Arc::new(TraceAudit),
        clock: Arc::new(SystemClock),
    }
}

/// Routes to servers at these URLs, for everybody.
pub(crate) fn routes(servers: &[(&str, &str)], requests: ServerRequestPolicy) -> Vec<Route> {
    let route = |(name, url): &(&str, &str)| {
        let mut server = ServerSpec::remote(name, url).expect("a server");
        server.server_requests = requests;
        let server = Arc::new(server);
        let install = install(&server, Owner::Org);
        Route::new(server, vec![install], true)
    };
    servers.iter().map(route).collect()
}

/// A ready install.
pub(crate) fn install(server: &ServerSpec, owner: Owner) -> Arc<Install> {
    let name = InstallName::new(&SystemClock);
    Arc::new(Install::new(name, server.name.clone(), owner, SystemClock.now()))
}
