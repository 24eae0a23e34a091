//! A gateway under test that listens, alone or as one of two replicas.

mod builder;

use std::{net::SocketAddr, ops::Deref, sync::Arc};

use portolan_core::{
    AllowAll, Clock, CredentialBroker, Gateway, GatewayName, GatewaySpec, Install, InstallName, Naming, Owner, Policy,
    Publication, PublicationChange, Route, ServerRequestPolicy, ServerSpec, Subject, SystemClock, TokenGrant,
    TraceAudit, UserId,
    memory::{MemorySessions, NoCredentials},
};
use portolan_gateway::{GatewayConfig, GatewayParts, McpGateway, StaticTokens, TokenKeys, digest};
use tokio::{net::TcpListener, runtime::Runtime, task::JoinHandle};

pub(crate) use self::builder::TestGatewayBuilder;
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

impl TestGateway {
    pub(crate) fn builder<'a>() -> TestGatewayBuilder<'a> {
        TestGatewayBuilder::new()
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

    pub(crate) async fn apply(&self, changes: Vec<PublicationChange>) {
        Gateway::apply(&self.gateway, changes).await.expect("applied");
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

async fn publish(gateway: &McpGateway, name: &str, routes: Vec<Route>) {
    let publication = Publication::new(GatewaySpec::new(gateway_name(name)), routes);
    Gateway::publish(gateway, publication).await.expect("published");
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
        guards: Vec::new(),
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
