//! What a gateway under test is made of.

use std::sync::Arc;

use portolan_core::{
    AuditSink, Authenticator, Clock, CredentialBroker, Route, ServerRequestPolicy,
    memory::{MemoryBus, MemorySessions},
};
use portolan_gateway::{Builder, GatewayConfig, GatewayParts, McpGateway, TokenKeys, Upstream};
use tokio::net::TcpListener;

use super::{TestGateway, parts, publish, routes, tokens};

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

impl<'a> TestGatewayBuilder<'a> {
    pub(super) fn new() -> Self {
        Self {
            servers: Vec::new(),
            server_requests: ServerRequestPolicy::default(),
            config: GatewayConfig::default(),
            settings: McpGateway::builder().authenticator(tokens()),
            parts: Vec::new(),
            names: vec!["default"],
            own_threads: false,
        }
    }

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

async fn listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.expect("a port")
}
