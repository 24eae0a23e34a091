//! Computes what gateways serve.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    Assignment, GatewayName, GatewaySpec, Install, InstallSet, Key, Publication, Result, Route, Selection, ServerName,
    ServerSpec,
};

use super::Orchestrator;

/// Computes what `gateway` serves, given all `servers` and `installs`.
///
/// Only ready installs serve. A server without one is left out, because nothing is known of its tools. Of several assignments
/// of one server the first that has an install counts.
pub fn publication(gateway: &GatewaySpec, servers: &[Arc<ServerSpec>], installs: &[Arc<Install>]) -> Publication {
    let mut ready = BTreeMap::<&ServerName, Vec<_>>::new();
    for install in installs.iter().filter(|install| install.is_ready()) {
        ready.entry(&install.server).or_default().push(install.clone());
    }
    let ready: BTreeMap<_, InstallSet> = ready.into_iter().map(|(server, all)| (server, all.into())).collect();
    let routes = selected(gateway, servers.iter(), |server| {
        ready.get(server).cloned().unwrap_or_default()
    });
    Publication::new(gateway.clone(), routes)
}

/// Returns the routes of a gateway, given all servers and the ready installs of each.
pub(super) fn selected<'a>(
    gateway: &GatewaySpec,
    servers: impl Iterator<Item = &'a Arc<ServerSpec>>,
    ready: impl Fn(&ServerName) -> InstallSet,
) -> Vec<Route> {
    servers
        .filter_map(|server| route_of(gateway, server, &ready(&server.name)))
        .collect()
}

/// Returns the route of a gateway to a server with these ready installs, if the gateway selects it and one of them serves.
pub(super) fn route_of(gateway: &GatewaySpec, server: &Arc<ServerSpec>, ready: &InstallSet) -> Option<Route> {
    if server.deleted.is_some() {
        return None;
    }
    let whole = || (!ready.is_empty()).then(|| Route::new(server.clone(), ready.clone(), false));
    match &gateway.selection {
        Selection::Assigned(assignments) => {
            let mut of_server = assignments.iter().filter(|assignment| assignment.server == server.name);
            of_server.find_map(|assignment| assigned(assignment, server, ready))
        }
        Selection::ByLabels if !server.labels.shares_a_pair_with(&gateway.labels) => None,
        Selection::ByLabels | Selection::All => whole(),
    }
}

fn assigned(assignment: &Assignment, server: &Arc<ServerSpec>, ready: &InstallSet) -> Option<Route> {
    let installs = match assignment.install {
        Some(pin) => InstallSet::from_iter([ready.get(&pin)?.clone()]),
        None if ready.is_empty() => return None,
        None => ready.clone(),
    };
    let mut route = Route::new(server.clone(), installs, assignment.install.is_some());
    route.tools.clone_from(&assignment.tools);
    Some(route)
}

impl Orchestrator {
    /// Reads the registry anew, publishes every gateway of it and withdraws those that are no longer in it.
    ///
    /// [`follow`](Self::follow) and each change through this orchestrator publish what they touch; this is for when the
    /// gateway has lost what it was told, or the registry was changed while nobody followed.
    ///
    /// # Errors
    ///
    /// An error of the registry or the gateway.
    pub async fn publish_all(&self) -> Result<()> {
        self.reload().await?;
        self.publish_known().await
    }

    /// Publishes one gateway, or withdraws it if it is no longer in the registry.
    ///
    /// # Errors
    ///
    /// An error of the registry or the gateway.
    pub async fn publish(&self, name: &GatewayName) -> Result<()> {
        self.sync_whole([Key::Gateway(name.clone())], std::slice::from_ref(name))
            .await
    }
}
