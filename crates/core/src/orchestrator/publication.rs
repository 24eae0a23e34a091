//! Computes what gateways serve: from the registry, whole, each time.

use std::sync::Arc;

use crate::{
    Assignment, GatewayName, GatewaySpec, Install, Publication, RegistryExt, Result, Route, Selection, ServerName,
    ServerSpec,
};

use super::Orchestrator;

/// Computes what `gateway` serves, given all `servers` and `installs`.
///
/// Only ready installs serve. A server without one is left out, because nothing is known of its tools.
pub fn publication(gateway: &GatewaySpec, servers: &[Arc<ServerSpec>], installs: &[Arc<Install>]) -> Publication {
    let catalogue = Catalogue { servers, installs };
    let routes = match &gateway.selection {
        Selection::Assigned(assignments) => assignments.iter().filter_map(|one| catalogue.assigned(one)).collect(),
        Selection::ByLabels => catalogue.all(|server| server.labels.shares_a_pair_with(&gateway.labels)),
        Selection::All => catalogue.all(|_| true),
    };
    Publication::new(gateway.clone(), routes)
}

/// Returns `true` if `gateway` serves, would serve or, of a server that is gone, may have served the tools of `server`.
fn selects(gateway: &GatewaySpec, name: &ServerName, servers: &[Arc<ServerSpec>]) -> bool {
    match &gateway.selection {
        Selection::Assigned(assignments) => assignments.iter().any(|assignment| assignment.server == *name),
        Selection::All => true,
        Selection::ByLabels => servers
            .iter()
            .find(|server| server.name == *name)
            .is_none_or(|server| server.labels.shares_a_pair_with(&gateway.labels)),
    }
}

struct Catalogue<'a> {
    servers: &'a [Arc<ServerSpec>],
    installs: &'a [Arc<Install>],
}

impl Catalogue<'_> {
    fn all(&self, wanted: impl Fn(&ServerSpec) -> bool) -> Vec<Route> {
        let servers = self.servers.iter().filter(|server| wanted(server));
        servers
            .filter_map(|server| self.route(server, false, |_| true))
            .collect()
    }

    fn assigned(&self, assignment: &Assignment) -> Option<Route> {
        let server = self.servers.iter().find(|server| server.name == assignment.server)?;
        let mut route = match assignment.install {
            Some(pin) => self.route(server, true, |install| install.name == pin),
            None => self.route(server, false, |_| true),
        }?;
        route.tools.clone_from(&assignment.tools);
        Some(route)
    }

    fn route(&self, server: &Arc<ServerSpec>, pinned: bool, may_serve: impl Fn(&Install) -> bool) -> Option<Route> {
        if server.deleted.is_some() {
            return None;
        }
        let of_server = self
            .installs
            .iter()
            .filter(|install| install.server == server.name && install.is_ready());
        let installs: Vec<_> = of_server.filter(|install| may_serve(install)).cloned().collect();
        (!installs.is_empty()).then(|| Route::new(server.clone(), installs, pinned))
    }
}

impl Orchestrator {
    /// Publishes every gateway of the registry and withdraws those that are no longer in it.
    ///
    /// # Errors
    ///
    /// An error of the registry or the gateway.
    pub async fn publish_all(&self) -> Result<()> {
        let _one_at_a_time = self.publishing.lock().await;
        let gateways = self.publish_where(|_, _| true).await?;
        for published in self.parts.gateway.published().await? {
            if !gateways.contains(&published) {
                self.parts.gateway.withdraw(&published).await?;
            }
        }
        Ok(())
    }

    /// Publishes one gateway, or withdraws it if it is no longer in the registry.
    ///
    /// # Errors
    ///
    /// An error of the registry or the gateway.
    pub async fn publish(&self, name: &GatewayName) -> Result<()> {
        let _one_at_a_time = self.publishing.lock().await;
        let gateways = self.publish_where(|gateway, _| gateway.name == *name).await?;
        if !gateways.contains(name) {
            self.parts.gateway.withdraw(name).await?;
        }
        Ok(())
    }

    /// Publishes the gateways that serve tools of `server`.
    pub(super) async fn publish_server(&self, server: &ServerName) -> Result<()> {
        let _one_at_a_time = self.publishing.lock().await;
        self.publish_where(|gateway, servers| selects(gateway, server, servers))
            .await?;
        Ok(())
    }

    /// Publishes the gateways that are wanted, and gives the names of all that there are. The registry is read after
    /// `publishing` was locked: so the last to publish is also the last to have looked.
    async fn publish_where(
        &self,
        wanted: impl Fn(&GatewaySpec, &[Arc<ServerSpec>]) -> bool + Send,
    ) -> Result<Vec<GatewayName>> {
        let registry = &self.parts.registry;
        let gateways = registry.gateways().await?;
        let servers: Vec<_> = registry
            .servers()
            .await?
            .into_iter()
            .map(|server| Arc::new(server.value))
            .collect();
        let installs: Vec<_> = registry
            .installs()
            .await?
            .into_iter()
            .map(|install| Arc::new(install.value))
            .collect();
        let mut names = Vec::with_capacity(gateways.len());
        for gateway in gateways {
            if wanted(&gateway.value, &servers) {
                let publication = publication(&gateway.value, &servers, &installs);
                self.parts.gateway.publish(publication).await?;
            }
            names.push(gateway.value.name);
        }
        Ok(names)
    }
}
