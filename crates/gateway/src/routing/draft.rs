//! Changes of one published gateway, made to a copy that shares what stays.

use std::{collections::BTreeSet, sync::Arc};

use portolan_core::{Caller, Error, GatewayName, InstallName, PublicationChange, Result, ServerName};

use super::{
    routes::{PublishedGateway, ServerRoute},
    upstreams::Upstreams,
};

/// A gateway that is being changed.
#[derive(Debug)]
pub(super) struct Draft {
    before: Arc<PublishedGateway>,
    after: Arc<PublishedGateway>,
    /// The servers whose routes were changed.
    servers: BTreeSet<ServerName>,
    /// The installs that were changed, each with its server.
    installs: Vec<(ServerName, InstallName)>,
}

/// A gateway in which clients may see a difference.
#[derive(Debug)]
pub(crate) struct Republished {
    /// What was served before; `None` if nothing was.
    before: Option<Arc<PublishedGateway>>,
    pub(crate) after: Arc<PublishedGateway>,
    /// The servers that may differ; `None` if any may.
    servers: Option<BTreeSet<ServerName>>,
}

impl Draft {
    /// Begins with what is published.
    pub(super) fn of(published: Option<&Arc<PublishedGateway>>, name: &GatewayName) -> Result<Self> {
        let before = published.ok_or_else(|| Error::not_found("gateway", name))?.clone();
        Ok(Self {
            after: before.clone(),
            before,
            servers: BTreeSet::new(),
            installs: Vec::new(),
        })
    }

    pub(super) fn name(&self) -> &GatewayName {
        &self.before.spec.name
    }

    /// Makes a change.
    pub(super) fn make(&mut self, change: PublicationChange, upstreams: &Upstreams) -> Result<()> {
        match change {
            PublicationChange::Spec(spec) => {
                let routes = self.after.routes.clone();
                self.after = Arc::new(PublishedGateway::with_routes(*spec, routes));
            }
            PublicationChange::Route { route, .. } => {
                let route = Arc::new(ServerRoute::new(&route, upstreams)?);
                let name = route.server.name.clone();
                let after = Arc::make_mut(&mut self.after);
                match after.position(name.as_str()) {
                    Ok(at) => after.routes[at] = route,
                    Err(at) => after.routes.insert(at, route),
                }
                self.servers.insert(name);
            }
            PublicationChange::RouteRemoved { server, .. } => {
                let after = Arc::make_mut(&mut self.after);
                if let Ok(at) = after.position(server.as_str()) {
                    after.routes.remove(at);
                }
                self.servers.insert(server);
            }
            PublicationChange::Installs {
                server,
                installs,
                changed,
                ..
            } => {
                let after = Arc::make_mut(&mut self.after);
                let at = after.position(server.as_str());
                let at = at.map_err(|_| Error::not_found("route", &server))?;
                let mut route = ServerRoute::clone(&after.routes[at]);
                upstreams.check(&route.server, changed.iter().filter_map(|name| installs.get(name)))?;
                route.installs = installs;
                after.routes[at] = Arc::new(route);
                self.installs
                    .extend(changed.into_iter().map(|name| (server.clone(), name)));
            }
            other => {
                return Err(Error::invalid(
                    "change",
                    format!("{other:?} is not known to this gateway"),
                ));
            }
        }
        Ok(())
    }

    /// Returns the changed gateway.
    pub(super) fn finish(&self) -> Arc<PublishedGateway> {
        self.after.clone()
    }

    /// Tells the servers of changed installs which tools the registry knows now.
    pub(super) fn seed(&self) {
        for route in self
            .servers
            .iter()
            .filter_map(|server| self.after.route(server.as_str()))
        {
            route.upstreams.seed(&route.installs);
        }
        for (server, name) in &self.installs {
            if let Some(route) = self.after.route(server.as_str())
                && let Some(install) = route.installs.get(name)
            {
                route.upstreams.seed_one(install);
            }
        }
    }

    /// Calls `gone` with the installs that may be gone, and the route that they had.
    pub(super) fn for_removed(&self, mut gone: impl FnMut(&ServerRoute, &[InstallName])) {
        for server in &self.servers {
            if let Some(route) = self.before.route(server.as_str()) {
                gone(route, &route.upstreams.used());
            }
        }
        for (server, name) in &self.installs {
            if let Some(route) = self.before.route(server.as_str()) {
                gone(route, &[*name]);
            }
        }
    }

    /// Returns what subscribers are told of, if anything.
    pub(super) fn republished(self) -> Option<Republished> {
        let is_whole = self.before.spec != self.after.spec;
        let mut servers = self.servers;
        servers.extend(self.installs.into_iter().map(|(server, _)| server));
        (is_whole || !servers.is_empty()).then_some(Republished {
            before: Some(self.before),
            after: self.after,
            servers: (!is_whole).then_some(servers),
        })
    }
}

impl Republished {
    /// Returns a gateway that was published as a whole.
    pub(super) fn whole(before: Option<Arc<PublishedGateway>>, after: Arc<PublishedGateway>) -> Self {
        Self {
            before,
            after,
            servers: None,
        }
    }

    /// Returns whether `caller` sees a difference, as far as this depends on the gateway and not on its servers.
    pub(crate) fn concerns(&self, caller: &Caller) -> bool {
        let Some(before) = self.before.as_ref().filter(|before| before.spec == self.after.spec) else {
            return true;
        };
        let differs = |server: &str| !ServerRoute::is_same_for(before.route(server), self.after.route(server), caller);
        match &self.servers {
            Some(servers) => servers.iter().any(|server| differs(server.as_str())),
            None => {
                let mut routes = before.routes().iter().chain(self.after.routes());
                routes.any(|route| differs(route.server.name.as_str()))
            }
        }
    }
}
