//! The fixtures' servers, over HTTP and over stdio.

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use portolan_core::ProtocolEra;
pub(crate) use portolan_fixtures::http::{Eras, HttpFixture};
use portolan_fixtures::{
    everything::{self, Everything},
    http::Options,
};
use portolan_gateway::Upstream;
use portolan_process::{ProcessConfig, ServerCommand, StdioServer};
use tempfile::TempDir;
use tokio::time::{Duration, sleep};

/// The kinds of server in the matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ServerKind {
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

impl ServerKind {
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

/// The server of the conformance suite, over HTTP.
pub(crate) async fn everything(eras: Eras) -> Everything {
    let options = everything::Options {
        eras,
        ..everything::Options::default()
    };
    Everything::start(options).await.expect("a server")
}

/// The server of the conformance suite, at a port that is free.
pub(crate) async fn everything_at(port: u16, eras: Eras) -> Everything {
    let options = everything::Options {
        port,
        eras,
        ..everything::Options::default()
    };
    Everything::start(options).await.expect("a server")
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
            // The other one's listener is closed a moment later.
            Err(_) => sleep(Duration::from_millis(2)).await,
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
    let command = ServerCommand::new(example("gateway_everything"), vec!["--era".to_owned(), era.to_owned()]);
    let server = StdioServer::start("up", command, &config);
    Server::Stdio { server, dir }
}

/// The everything server behind pipes, which starts when the test says so.
pub(crate) struct HeldServer {
    server: Arc<StdioServer>,
    dir: TempDir,
}

impl HeldServer {
    pub(crate) fn start(era: &str) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let script = r#"until [ -e "$0" ]; do sleep 0.02; done; exec "$1" --era "$2""#;
        let go = dir.path().join("go").to_str().expect("UTF-8").to_owned();
        let args = [
            "-c".to_owned(),
            script.to_owned(),
            go,
            example("gateway_everything"),
            era.to_owned(),
        ];
        let config = ProcessConfig::new(dir.path().join("private"));
        let server = StdioServer::start("up", ServerCommand::new("sh", args), &config);
        Self { server, dir }
    }

    pub(crate) fn channel(&self) -> Arc<StdioServer> {
        self.server.clone()
    }

    pub(crate) fn release(&self) {
        std::fs::write(self.dir.path().join("go"), "").expect("written");
    }
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
