//! The platform: assembles the parts and delegates to them.

use std::sync::Arc;

use portolan_core::{
    Clock, Error, Registry, Result,
    orchestrator::{Orchestrator, OrchestratorParts},
};
use portolan_gateway::{GatewayParts, McpGateway, StoredCredentials, TokenKeys};

use crate::{Components, background::Background};

/// An MCP platform: a registry of servers, installs of them, a runtime and gateways, in one value.
///
/// Everything that it does can be done with the parts alone. Cheap to clone; clones are one platform. Made by
/// [`Platform::builder`], by [`Platform::local`], or from all parts by [`Platform::new`].
#[derive(Clone, Debug)]
pub struct Platform {
    orchestrator: Arc<Orchestrator>,
    pub(crate) gateway: McpGateway,
    pub(crate) background: Arc<Background>,
}

impl Platform {
    /// Assembles a platform and takes up what its registry says: starts installs that shall run, finishes interrupted
    /// ones, publishes gateways. What cannot be taken up is logged and does not stop the rest.
    ///
    /// From then on it follows the registry until it is dropped or [shut down](Self::shutdown): what another process writes
    /// there is served here without being told, within a second.
    ///
    /// See [`Components`] for an example.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] outside of a tokio runtime.
    pub async fn new(components: Components) -> Result<Self> {
        require_tokio()?;
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
            guards: settings.guards,
            clock: settings.clock.clone(),
        });
        let parts = OrchestratorParts {
            registry,
            credentials,
            runtime,
            gateway: Arc::new(gateway.clone()),
            discovery: Arc::new(gateway.clone()),
            broker,
            clock: settings.clock,
        };
        let orchestrator = Arc::new(Orchestrator::with_options(parts, settings.orchestrator));
        let report = orchestrator.repair().await;
        for (what, error) in &report.failures {
            tracing::warn!(what, %error, "cannot be taken up");
        }
        Ok(Self {
            background: Arc::new(Background::start(&orchestrator)),
            orchestrator,
            gateway,
        })
    }

    /// Returns a tower service that serves `/<gateway>`, for a router that nests it below a path of its own:
    /// `nest_service("/mcp", platform.gateway_service())` of axum serves `/mcp/<gateway>`.
    ///
    /// A server that cuts no prefix off takes it [at that path](McpGateway::at_path):
    /// `platform.gateway_service().at_path("/mcp")`.
    ///
    /// ```
    /// # #[cfg(all(feature = "local", feature = "axum"))]
    /// # async fn example() -> portolan::Result<axum::Router> {
    /// let platform = portolan::Platform::local("portolan.db").await?;
    /// let app = axum::Router::new().nest_service("/mcp", platform.gateway_service());
    /// # Ok(app)
    /// # }
    /// ```
    pub fn gateway_service(&self) -> McpGateway {
        self.gateway.at_path("")
    }

    /// Returns a router that serves `/mcp/<gateway>`, or `<path>/<gateway>` with another [`GatewayConfig::path`], to merge
    /// into an axum application.
    ///
    /// [`GatewayConfig::path`]: crate::GatewayConfig::path
    #[cfg(feature = "axum")]
    pub fn router(&self) -> axum::Router {
        self.gateway.clone().into_router()
    }

    /// Returns the registry: servers, installs, gateways and token grants.
    pub fn registry(&self) -> &Arc<dyn Registry> {
        &self.orchestrator.parts().registry
    }

    /// Returns the orchestrator, which installs, removes and repairs.
    pub fn orchestrator(&self) -> &Orchestrator {
        &self.orchestrator
    }

    pub(crate) fn clock(&self) -> &dyn Clock {
        &*self.orchestrator.parts().clock
    }
}

/// Refuses to go on where the first timer would panic.
pub(crate) fn require_tokio() -> Result<()> {
    match tokio::runtime::Handle::try_current() {
        Ok(_) => Ok(()),
        Err(_) => Err(Error::invalid(
            "platform",
            "must be built within a tokio runtime: use #[tokio::main], or Runtime::block_on",
        )),
    }
}
