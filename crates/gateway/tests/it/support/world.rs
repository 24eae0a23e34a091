//! A gateway that listens, and the servers behind it.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use portolan_core::{
    AllowAll, Clock, CredentialBroker, Gateway, GatewayName, GatewaySpec, Install, InstallName, Owner, Policy,
    ProtocolEra, Publication, Route, ServerRequestPolicy, ServerSpec, Subject, SystemClock, TokenGrant, TraceAudit,
    UserId,
    memory::{MemorySessions, NoCredentials},
};
use portolan_fixtures::http::Options;
pub(crate) use portolan_fixtures::http::{Eras, HttpFixture};
use portolan_gateway::{Builder, GatewayConfig, GatewayParts, McpGateway, StaticTokens, TokenKeys, Upstream, digest};
use portolan_process::{ProcessConfig, ServerCommand, StdioServer};
use tempfile::TempDir;
use tokio::{net::TcpListener, task::JoinHandle};

/// A gateway that listens.
pub(crate) struct Site {
    pub(crate) address: SocketAddr,
    pub(crate) gateway: McpGateway,
    serving: JoinHandle<()>,
}

impl Site {
    pub(crate) async fn serve(gateway: McpGateway) -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").await.expect("a port"), gateway)
    }

    pub(crate) fn on(listener: TcpListener, gateway: McpGateway) -> Self {
        let address = listener.local_addr().expect("an address");
        let service = gateway.clone();
        let serving = tokio::spawn(async move {
            let _ = portolan_gateway::serve(listener, service, std::future::pending()).await;
        });
        Self {
            address,
            gateway,
            serving,
        }
    }

    /// In front of these servers.
    pub(crate) async fn of<const N: usize>(upstreams: [(&str, Upstream); N]) -> Self {
        Self::with(upstreams, |builder| builder).await
    }

    pub(crate) async fn with<const N: usize>(
        upstreams: [(&str, Upstream); N],
        change: impl FnOnce(Builder) -> Builder,
    ) -> Self {
        let builder = upstreams
            .into_iter()
            .fold(builder(), |builder, (name, upstream)| builder.upstream(name, upstream));
        Self::serve(change(builder).build().expect("a gateway")).await
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// A builder that lets alice and bob in.
pub(crate) fn builder() -> Builder {
    McpGateway::builder().authenticator(tokens())
}

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

/// A configuration with this call timeout.
pub(crate) fn impatient(call: Duration) -> GatewayConfig {
    let mut config = GatewayConfig::default();
    config.timeouts.call = call;
    config
}

/// The kinds of server that the matrix has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    HttpLegacy,
    HttpModern,
    HttpBoth,
    StdioLegacy,
    StdioModern,
}

/// A running server of one kind.
pub(crate) enum Server {
    Http(HttpFixture),
    Stdio { server: Arc<StdioServer>, dir: TempDir },
}

impl Kind {
    pub(crate) fn is_stdio(self) -> bool {
        matches!(self, Self::StdioLegacy | Self::StdioModern)
    }

    pub(crate) async fn start(self) -> Server {
        match self {
            Self::HttpLegacy => Server::Http(http(Eras::Legacy).await),
            Self::HttpModern => Server::Http(http(Eras::Modern).await),
            Self::HttpBoth => Server::Http(http(Eras::Both).await),
            Self::StdioLegacy => stdio(&["--era", "legacy"], ProtocolEra::Auto),
            Self::StdioModern => stdio(&["--era", "modern"], ProtocolEra::Auto),
        }
    }
}

pub(crate) async fn http(eras: Eras) -> HttpFixture {
    let options = Options {
        eras,
        ..Options::default()
    };
    HttpFixture::start(options).await.expect("a server")
}

/// A server at an address where another one was just now.
pub(crate) async fn http_again(address: SocketAddr, eras: Eras) -> HttpFixture {
    loop {
        let options = Options {
            listen: address,
            eras,
            ..Options::default()
        };
        match HttpFixture::start(options).await {
            Ok(fixture) => return fixture,
            Err(_) => tokio::time::sleep(Duration::from_millis(2)).await,
        }
    }
}

/// A stdio server with a ledger.
pub(crate) fn stdio(args: &[&str], era: ProtocolEra) -> Server {
    let dir = tempfile::tempdir().expect("a directory");
    let ledger = dir.path().join("ledger");
    let mut all: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
    all.extend(["--ledger".into(), ledger.to_str().expect("UTF-8").to_owned()]);
    let config = ProcessConfig::new(dir.path().join("private"));
    let server = StdioServer::start("up", ServerCommand::new(program(), all).with_era(era), &config);
    Server::Stdio { server, dir }
}

/// The everything server behind pipes, of the era that its flag names.
pub(crate) fn everything_stdio(era: &str) -> Server {
    let dir = tempfile::tempdir().expect("a directory");
    let config = ProcessConfig::new(dir.path().join("private"));
    let command = ServerCommand::new(example("everything_fixture"), vec!["--era".to_owned(), era.to_owned()]);
    let server = StdioServer::start("up", command, &config);
    Server::Stdio { server, dir }
}

/// The program of the stdio fixture.
pub(crate) fn program() -> String {
    example("stdio_fixture")
}

/// A program that cargo builds as an example.
fn example(name: &str) -> String {
    let test = std::env::current_exe().expect("this test");
    let profile: PathBuf = test.parent().and_then(|deps| deps.parent()).expect("a profile").into();
    profile.join("examples").join(name).to_str().expect("UTF-8").to_owned()
}

impl Server {
    pub(crate) fn upstream(&self) -> Upstream {
        match self {
            Self::Http(fixture) => Upstream::http(fixture.url()),
            Self::Stdio { server, .. } => Upstream::channel(server.clone()),
        }
    }

    /// How often it was told or shown that nobody waits any more.
    pub(crate) fn cancels(&self) -> usize {
        match self {
            Self::Http(fixture) => {
                let told = fixture.requests_of("notifications/cancelled").len();
                told + usize::try_from(fixture.counters().abandoned).expect("few")
            }
            Self::Stdio { dir, .. } => ledger(dir).iter().filter(|line| line.starts_with("cancelled")).count(),
        }
    }

    /// Calls that take time and were begun.
    pub(crate) fn begun(&self) -> usize {
        match self {
            Self::Http(fixture) => usize::try_from(fixture.counters().calls).expect("few"),
            Self::Stdio { dir, .. } => ledger(dir).iter().filter(|line| line.starts_with("begun")).count(),
        }
    }

    /// How often the tool `count` ran for `key`.
    pub(crate) fn count(&self, key: &str) -> usize {
        match self {
            Self::Http(fixture) => usize::try_from(fixture.count(key)).expect("few"),
            Self::Stdio { dir, .. } => {
                let wanted = format!("count {key}");
                ledger(dir).iter().filter(|line| **line == wanted).count()
            }
        }
    }
}

fn ledger(dir: &TempDir) -> Vec<String> {
    let text = std::fs::read_to_string(dir.path().join("ledger")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// Publishes a gateway in front of remote servers, for everybody.
pub(crate) async fn publish(gateway: &McpGateway, name: &str, servers: &[(&str, &str)]) {
    publish_asking(gateway, name, servers, ServerRequestPolicy::default()).await;
}

/// The same, for servers that may ask so much.
pub(crate) async fn publish_asking(
    gateway: &McpGateway,
    name: &str,
    servers: &[(&str, &str)],
    asks: ServerRequestPolicy,
) {
    publish_routes(gateway, name, routes(servers, asks)).await;
}

/// Routes to remote servers, for everybody.
pub(crate) fn routes(servers: &[(&str, &str)], asks: ServerRequestPolicy) -> Vec<Route> {
    let route = |(name, url): &(&str, &str)| {
        let mut server = ServerSpec::remote(name, url).expect("a server");
        server.server_requests = asks;
        let server = Arc::new(server);
        let install = install(&server, Owner::Org);
        Route::new(server, vec![install], true)
    };
    servers.iter().map(route).collect()
}

pub(crate) async fn publish_routes(gateway: &McpGateway, name: &str, routes: Vec<Route>) {
    let publication = Publication::new(GatewaySpec::new(gateway_name(name)), routes);
    Gateway::publish(gateway, publication).await.expect("published");
}

/// Two gateways with the same keys, sessions and servers, which know each other's addresses.
pub(crate) async fn replicas(
    servers: &[(&str, &str)],
    asks: ServerRequestPolicy,
    change: impl Fn(&mut GatewayConfig),
) -> [Site; 2] {
    let sessions: Arc<MemorySessions> = Arc::default();
    let routes = routes(servers, asks);
    let mut sites = Vec::new();
    for _ in 0..2 {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let mut parts = parts();
        parts.keys = TokenKeys::new(1, &[9; 32]).expect("keys");
        parts.sessions = sessions.clone();
        parts.config.replica = Some(format!("http://{address}/mcp").parse().expect("a URL"));
        change(&mut parts.config);
        let site = Site::on(listener, McpGateway::new(parts));
        publish_routes(&site.gateway, "default", routes.clone()).await;
        sites.push(site);
    }
    sites.try_into().unwrap_or_else(|_| unreachable!("two were made"))
}

/// A ready install.
pub(crate) fn install(server: &ServerSpec, owner: Owner) -> Arc<Install> {
    let name = InstallName::new(&SystemClock);
    Arc::new(Install::new(name, server.name.clone(), owner, SystemClock.now()))
}
