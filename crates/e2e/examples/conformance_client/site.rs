//! A gateway that listens, in front of the suite's server.

use std::{sync::Arc, time::Duration};

use anyhow::Result;
use portolan_core::{
    AllowAll, Clock, Gateway, GatewayName, GatewaySpec, Install, InstallName, Naming, Owner, Publication, Route,
    ServerRequestPolicy, ServerSpec, SystemClock, TraceAudit, memory::MemorySessions,
};
use portolan_gateway::{GatewayConfig, GatewayParts, McpGateway, StaticTokens, TokenKeys, digest};
use tokio::{net::TcpListener, task::JoinHandle};

use crate::oauth::{Identity, OAuthBroker};

/// How long what outlives its call may take at the end, such as the end of a session.
const DRAIN: Duration = Duration::from_secs(2);
const TOKEN: &str = "the-token-of-the-only-client-there-is";

/// A gateway, until it is closed.
pub(crate) struct Site {
    gateway: McpGateway,
    url: String,
    serving: JoinHandle<std::io::Result<()>>,
}

impl Site {
    /// Puts a gateway in front of the server at `url`. Names stay as they are: the suite knows no others.
    pub(crate) async fn open(url: &str, identity: Option<Identity>) -> Result<Self> {
        let mut server = ServerSpec::remote("suite", url)?;
        server.server_requests = ServerRequestPolicy::ALL;
        let gateway = McpGateway::new(GatewayParts {
            config: GatewayConfig::default(),
            keys: TokenKeys::random()?,
            authenticators: vec![Arc::new(StaticTokens::from_users([("person", digest(TOKEN))])?)],
            guards: Vec::new(),
            policy: Arc::new(AllowAll),
            broker: Arc::new(OAuthBroker::new(identity)),
            runtime: None,
            sessions: Arc::new(MemorySessions::default()),
            bus: None,
            audit: Arc::new(TraceAudit),
            clock: Arc::new(SystemClock),
        });
        let install = Install::new(
            InstallName::new(&SystemClock),
            server.name.clone(),
            Owner::Org,
            SystemClock.now(),
        );
        let mut spec = GatewaySpec::new(GatewayName::parse("default")?);
        spec.naming = Naming::Plain;
        let route = Route::new(Arc::new(server), vec![Arc::new(install)], true);
        gateway.publish(Publication::new(spec, vec![route])).await?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}/mcp/default", listener.local_addr()?);
        let service = gateway.clone();
        let serving =
            tokio::spawn(async move { portolan_gateway::serve(listener, service, std::future::pending()).await });
        Ok(Self { gateway, url, serving })
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn token(&self) -> &'static str {
        TOKEN
    }

    pub(crate) async fn close(self) {
        self.gateway.drain(DRAIN).await;
        self.serving.abort();
    }
}
