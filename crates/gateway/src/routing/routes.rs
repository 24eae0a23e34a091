//! The published gateways: built as a whole, swapped atomically, read without a lock.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError, Weak},
};

use arc_swap::ArcSwap;
use http::HeaderName;
use portolan_core::{
    Caller, GatewayName, GatewaySpec, Install, InstallName, Naming, Owner, Publication, Result, Route, Runtime,
    ServerName, ServerSpec, Source, Subject, ToolName,
};

use portolan_client::{Client, UpstreamServer};

use super::{Place, alias::Aliases, collisions::Collisions, exposure, passthrough};

/// All gateways and their servers.
#[derive(Debug)]
pub(crate) struct RouteTable {
    published: ArcSwap<BTreeMap<GatewayName, Arc<PublishedGateway>>>,
    /// Servers outlive publications, with their caches and connections.
    upstreams: Mutex<HashMap<InstallName, Weak<UpstreamServer>>>,
    runtime: Option<Arc<dyn Runtime>>,
    client: Client,
}

/// A published gateway.
#[derive(Debug)]
pub(crate) struct PublishedGateway {
    pub(crate) spec: GatewaySpec,
    /// Request headers that are forwarded to servers.
    pub(crate) passthrough: Vec<HeaderName>,
    /// Aliases of tools and prompts.
    pub(crate) aliases: Option<Box<Aliases>>,
    pub(crate) collisions: Collisions,
    routes: Vec<ServerRoute>,
    by_server: HashMap<ServerName, usize>,
}

/// A name that a client used, and the servers that may have the item.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NameLookup<'a, 'n> {
    pub(crate) routes: &'a [ServerRoute],
    pub(crate) naming: Naming,
    pub(crate) name: &'n str,
    /// The aliases, whose items cannot be used by this name.
    pub(crate) aliases: Option<&'a Aliases>,
}

/// A server of a gateway.
#[derive(Debug)]
pub(crate) struct ServerRoute {
    pub(crate) server: Arc<ServerSpec>,
    installs: Vec<InstallRoute>,
    only: Option<HashSet<ToolName>>,
}

/// An install that may serve a server's calls.
#[derive(Debug)]
pub(crate) struct InstallRoute {
    pub(crate) install: Arc<Install>,
    pub(crate) upstream: Arc<UpstreamServer>,
}

impl RouteTable {
    pub(crate) fn new(runtime: Option<Arc<dyn Runtime>>, client: Client) -> Self {
        Self {
            published: ArcSwap::default(),
            upstreams: Mutex::default(),
            runtime,
            client,
        }
    }

    pub(crate) fn get(&self, name: &str) -> Option<Arc<PublishedGateway>> {
        self.published.load().get(name).cloned()
    }

    pub(crate) fn names(&self) -> Vec<GatewayName> {
        self.published.load().keys().cloned().collect()
    }

    /// Publishes a gateway; returns whether it differs from before.
    pub(crate) fn publish(&self, publication: Publication) -> Result<bool> {
        let published = Arc::new(self.build(publication)?);
        let before = self.get(published.spec.name.as_str());
        let changed = before.is_none_or(|before| !before.is_same(&published));
        self.published.rcu(|all| {
            let mut all = BTreeMap::clone(all);
            all.insert(published.spec.name.clone(), published.clone());
            all
        });
        Ok(changed)
    }

    pub(crate) fn withdraw(&self, name: &GatewayName) {
        self.published.rcu(|all| {
            let mut all = BTreeMap::clone(all);
            all.remove(name);
            all
        });
    }

    /// Registers a server that was created elsewhere, so that publications find it under its install.
    pub(crate) fn adopt(&self, install: InstallName, upstream: &Arc<UpstreamServer>) {
        self.upstreams().insert(install, Arc::downgrade(upstream));
    }

    fn build(&self, publication: Publication) -> Result<PublishedGateway> {
        let mut routes = Vec::with_capacity(publication.routes.len());
        for route in &publication.routes {
            routes.push(self.server_route(route)?);
        }
        let passthrough = publication.gateway.passthrough.iter().filter_map(|name| {
            let name = HeaderName::try_from(name.as_str()).ok()?;
            passthrough::may_pass(&name).then_some(name)
        });
        Ok(PublishedGateway {
            passthrough: passthrough.collect(),
            by_server: routes
                .iter()
                .enumerate()
                .map(|(at, route): (_, &ServerRoute)| (route.server.name.clone(), at))
                .collect(),
            routes,
            aliases: Aliases::of(&publication.gateway),
            collisions: Collisions::default(),
            spec: publication.gateway,
        })
    }

    fn server_route(&self, route: &Route) -> Result<ServerRoute> {
        let mut installs = Vec::with_capacity(route.installs.len());
        for install in &route.installs {
            let upstream = self.upstream(&route.server, install)?;
            installs.push(InstallRoute {
                install: install.clone(),
                upstream,
            });
        }
        let only = route.tools.as_ref().map(|tools| tools.iter().cloned().collect());
        Ok(ServerRoute {
            server: route.server.clone(),
            installs,
            only,
        })
    }

    /// Returns the server of an install: the existing one, unless its entry has changed.
    fn upstream(&self, server: &Arc<ServerSpec>, install: &Install) -> Result<Arc<UpstreamServer>> {
        let mut upstreams = self.upstreams();
        if let Some(upstream) = upstreams.get(&install.name).and_then(Weak::upgrade)
            && **upstream.spec() == **server
        {
            upstream.seed_tools(&install.tools);
            return Ok(upstream);
        }
        upstreams.retain(|_, upstream| upstream.strong_count() > 0);
        let upstream = match (&server.source, &self.runtime) {
            (Source::Remote { url }, _) => UpstreamServer::remote(
                &self.client,
                server.clone(),
                portolan_core::HttpEndpoint::new(url.clone()),
            ),
            (_, Some(runtime)) => UpstreamServer::running(&self.client, server.clone(), install.name, runtime.clone()),
            (_, None) => {
                return Err(portolan_core::Error::invalid(
                    server.name.as_str(),
                    "is self-hosted, and this gateway has no runtime to run it; give it one",
                ));
            }
        };
        let upstream = Arc::new(upstream);
        upstream.seed_tools(&install.tools);
        upstreams.insert(install.name, Arc::downgrade(&upstream));
        Ok(upstream)
    }

    fn upstreams(&self) -> std::sync::MutexGuard<'_, HashMap<InstallName, Weak<UpstreamServer>>> {
        self.upstreams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PublishedGateway {
    /// Returns whether clients see no difference, as far as this depends on the gateway and not on its servers.
    fn is_same(&self, other: &Self) -> bool {
        self.spec == other.spec
            && self.routes.len() == other.routes.len()
            && self
                .routes
                .iter()
                .zip(&other.routes)
                .all(|(mine, other)| mine.is_same(other))
    }

    /// Returns the servers of this gateway, sorted by name.
    pub(crate) fn routes(&self) -> &[ServerRoute] {
        &self.routes
    }

    /// Returns an install of this gateway that `caller` may use, and its server.
    pub(crate) fn place(&self, install: &InstallName, caller: &Caller) -> Option<Place<'_>> {
        let mut all = self
            .routes
            .iter()
            .flat_map(|route| route.installs.iter().map(move |install| (route, install)));
        all.find(|(_, found)| found.install.name == *install && caller.may_use(&found.install.owner))
    }

    /// Resolves the name of a tool or prompt to the servers that may have it.
    pub(crate) fn lookup<'a: 'n, 'n>(&'a self, name: &'n str) -> NameLookup<'a, 'n> {
        let aliased = self.aliases.as_ref().and_then(|aliases| aliases.target(name));
        if let Some((server, own)) = aliased {
            return NameLookup {
                routes: self.routes_of(server),
                naming: Naming::Plain,
                name: own,
                aliases: None,
            };
        }
        let naming = self.spec.naming;
        let routes = match naming {
            Naming::Plain => &self.routes[..],
            _ => exposure::server_of(name).map_or(&[][..], |server| self.routes_of(server)),
        };
        NameLookup {
            routes,
            naming,
            name,
            aliases: self.aliases.as_deref(),
        }
    }

    /// Returns a server of this gateway by name.
    pub(crate) fn route(&self, server: &str) -> Option<&ServerRoute> {
        self.routes_of(server).first()
    }

    fn routes_of<S>(&self, server: &S) -> &[ServerRoute]
    where
        ServerName: std::borrow::Borrow<S>,
        S: std::hash::Hash + Eq + ?Sized,
    {
        let at = self.by_server.get(server);
        at.map_or(&[], |at| std::slice::from_ref(&self.routes[*at]))
    }
}

impl ServerRoute {
    fn is_same(&self, other: &Self) -> bool {
        let installs = |route: &Self| -> Vec<_> {
            let installs = route.installs.iter();
            installs
                .map(|install_route| {
                    (
                        install_route.install.name,
                        install_route.install.owner.clone(),
                        Arc::as_ptr(&install_route.upstream),
                    )
                })
                .collect()
        };
        self.server == other.server && self.only == other.only && installs(self) == installs(other)
    }

    /// Returns the install that serves this caller: its own, then those of its teams in their order, then the
    /// organisation's.
    ///
    /// A personal install never serves other callers, even if it is pinned.
    pub(crate) fn install_for(&self, caller: &Caller) -> Option<&InstallRoute> {
        self.reached(caller)
            .min_by_key(|install_route| (rank(caller, &install_route.install.owner), install_route.install.name))
    }

    /// Returns the installs that may serve this caller.
    pub(crate) fn reached<'a>(&'a self, caller: &Caller) -> impl Iterator<Item = &'a InstallRoute> {
        self.installs
            .iter()
            .filter(|install_route| caller.may_use(&install_route.install.owner))
    }

    /// Returns the installs that may serve this server's calls.
    pub(crate) fn installs(&self) -> impl Iterator<Item = &Install> {
        self.installs.iter().map(|install_route| &*install_route.install)
    }

    /// Returns whether the gateway's assignment includes the whole server. One that names tools includes nothing else.
    pub(crate) fn is_whole(&self) -> bool {
        self.only.is_none()
    }

    /// Returns whether the gateway's assignment includes this tool.
    pub(crate) fn takes(&self, tool: &ToolName) -> bool {
        self.only.as_ref().is_none_or(|only| only.contains(tool))
    }
}

/// Returns the rank of an owner in the order of resolution.
fn rank(caller: &Caller, owner: &Owner) -> usize {
    match (owner, &caller.subject) {
        (Owner::Personal(_), _) => 0,
        (Owner::Team(team), Subject::User(_)) => {
            1 + caller
                .teams
                .iter()
                .position(|mine| mine == team)
                .unwrap_or(caller.teams.len())
        }
        (Owner::Team(_), _) => 1,
        (Owner::Org, _) => usize::MAX,
    }
}
