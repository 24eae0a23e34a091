//! The platform: assembles the parts, and delegates to them.

use std::sync::Arc;

use portolan_core::{
    Clock, Error, Install, InstallName, Owner, Precondition, Registry, RegistryExt, Result, ServerName, ServerSpec,
    orchestrator::{InstallRequest, Orchestrator, OrchestratorParts, Progress},
};
use portolan_gateway::{GatewayParts, McpGateway, StoredCredentials, TokenKeys};

use crate::{Components, GatewayHandle};

/// An MCP platform: a registry of servers, installs of them, a runtime and gateways, in one value.
///
/// Everything that it does can be done with the parts alone. Cheap to clone; clones are one platform.
#[derive(Clone, Debug)]
pub struct Platform {
    orchestrator: Arc<Orchestrator>,
    gateway: McpGateway,
}

impl Platform {
    /// Assembles a platform, and takes up what its registry says: installs that shall run are started, interrupted ones
    /// finished, gateways published. What cannot be taken up is logged and does not stop the rest.
    pub async fn new(components: Components) -> Result<Self> {
        let Components {
            registry,
            credentials,
            sessions,
            runtime,
            authenticators,
            settings,
        } = components;
        let broker = settings
            .broker
            .unwrap_or_else(|| Arc::new(StoredCredentials::new(credentials.clone())));
        let gateway = McpGateway::new(GatewayParts {
            config: settings.gateway,
            keys: settings.keys.map_or_else(TokenKeys::random, Ok)?,
            authenticators,
            policy: settings.policy,
            broker: broker.clone(),
            runtime: Some(runtime.clone()),
            sessions,
            bus: settings.bus,
            audit: settings.audit,
            clock: settings.clock.clone(),
        });
        let orchestrator = Orchestrator::new(OrchestratorParts {
            registry,
            credentials,
            runtime,
            gateway: Arc::new(gateway.clone()),
            discovery: Arc::new(gateway.clone()),
            broker,
            clock: settings.clock,
        });
        let report = orchestrator.repair().await;
        for (what, error) in &report.failures {
            tracing::warn!(what, %error, "cannot be taken up");
        }
        Ok(Self {
            orchestrator: Arc::new(orchestrator),
            gateway,
        })
    }

    /// Adds a server to the catalogue, or changes the one of this name.
    pub async fn add(&self, server: ServerSpec) -> Result<ServerName> {
        let name = server.name.clone();
        match self.registry().server(&name).await {
            Ok(found) if found.value == server => {}
            Ok(_) | Err(Error::NotFound { .. }) => {
                self.orchestrator.put_server(server, Precondition::None).await?;
            }
            Err(error) => return Err(error),
        }
        Ok(name)
    }

    /// Installs a server for an owner, and returns when its tools are known; or says why not.
    ///
    /// Installing again finds what is there, and goes on where an interrupted install ended.
    pub async fn install(&self, server: &ServerName, owner: Owner) -> Result<Install> {
        self.orchestrator
            .install(InstallRequest::new(server.clone(), owner))
            .await
    }

    /// The same with answers to what the server asks, and with progress while it waits.
    pub async fn install_with_progress(
        &self,
        request: InstallRequest,
        progress: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<Install> {
        self.orchestrator.install_with_progress(request, progress).await
    }

    /// Removes an install, with its deployment, its secrets and its place in every gateway.
    pub async fn remove(&self, install: &InstallName) -> Result<()> {
        self.orchestrator.remove(install).await
    }

    /// The gateway of this name, which need not be there yet.
    pub fn gateway(&self, name: impl Into<String>) -> GatewayHandle {
        GatewayHandle::new(self.clone(), name.into())
    }

    /// A tower service that serves `/mcp/<gateway>`, for any hyper-based server.
    pub fn gateway_service(&self) -> McpGateway {
        self.gateway.clone()
    }

    /// A router that serves `/mcp/<gateway>`, to merge into an axum application.
    #[cfg(feature = "axum")]
    pub fn router(&self) -> axum::Router {
        self.gateway.clone().into_router()
    }

    /// Serves the gateways at `address` until Ctrl-C or SIGTERM; then lets calls under way finish, for at most 30 s.
    #[cfg(feature = "serve")]
    pub async fn serve(&self, address: impl tokio::net::ToSocketAddrs + std::fmt::Display) -> Result<()> {
        let listener = match tokio::net::TcpListener::bind(&address).await {
            Ok(listener) => listener,
            Err(fault) => {
                return Err(Error::invalid(
                    "address",
                    format!("cannot listen on {address}: {fault}"),
                ));
            }
        };
        let served = portolan_gateway::serve(listener, self.gateway_service(), asked_to_end()).await;
        self.gateway.drain(std::time::Duration::from_secs(5)).await;
        served.map_err(|fault| Error::unavailable("the listener", fault))
    }

    /// The catalogue, installs and gateways.
    pub fn registry(&self) -> &Arc<dyn Registry> {
        &self.orchestrator.parts().registry
    }

    /// What installs, removes and repairs.
    pub fn orchestrator(&self) -> &Orchestrator {
        &self.orchestrator
    }

    pub(crate) fn clock(&self) -> &dyn Clock {
        &*self.orchestrator.parts().clock
    }
}

/// Ready when the process is asked to end.
#[cfg(feature = "serve")]
pub(crate) async fn asked_to_end() {
    let interrupted = tokio::signal::ctrl_c();
    #[cfg(unix)]
    {
        let Ok(mut terminated) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) else {
            return drop(interrupted.await);
        };
        tokio::select! {
            _ = interrupted => {}
            _ = terminated.recv() => {}
        }
    }
    #[cfg(not(unix))]
    drop(interrupted.await);
}
