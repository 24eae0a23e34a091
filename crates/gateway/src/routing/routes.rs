//! The published gateways: changed by sharing what stays, swapped atomically, read without a lock.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use arc_swap::ArcSwap;
use http::HeaderName;
use portolan_client::{Client, UpstreamServer};
use portolan_core::{
    Caller, GatewayName, GatewaySpec, Install, InstallName, InstallSet, Naming, Publication, PublicationChange, Result,
    Route, Runtime, ServerSpec, ToolName,
};
use rpds::RedBlackTreeMapSync;

use super::{
    Place,
    alias::Aliases,
    collisions::Collisions,
    draft::{Draft, Republished},
    exposure, passthrough,
    upstreams::{EntryUpstreams, Upstreams},
};

type Gateways = RedBlackTreeMapSync<GatewayName, Arc<PublishedGateway>>;

/// All gateways and their servers.
#[derive(Debug)]
pub(crate) struct RouteTable {
    published: ArcSwap<Gateways>,
    /// Held by whoever changes `published`.
    changing: Mutex<()>,
    upstreams: Upstreams,
}

/// A published gateway.
#[derive(Clone, Debug)]
pub(crate) struct PublishedGateway {
    pub(crate) spec: Arc<GatewaySpec>,
    /// Request headers that are forwarded to servers.
    pub(crate) passthrough: Arc<[HeaderName]>,
    /// Aliases of tools and prompts.
    pub(crate) aliases: Option<Arc<Aliases>>,
    pub(crate) collisions: Arc<Collisions>,
    /// The servers, sorted by name, each once.
    pub(super) routes: Vec<Arc<ServerRoute>>,
}

/// A name that a client used, and the servers that may have the item.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NameLookup<'a, 'n> {
    pub(crate) routes: &'a [Arc<ServerRoute>],
    pub(crate) naming: Naming,
    pub(crate) name: &'n str,
    /// The aliases, whose items cannot be used by this name.
    pub(crate) aliases: Option<&'a Aliases>,
}

/// A server of a gateway, with the installs that may serve its calls.
#[derive(Clone, Debug)]
pub(crate) struct ServerRoute {
    pub(crate) server: Arc<ServerSpec>,
    pub(super) installs: InstallSet,
    pub(super) only: Option<Arc<HashSet<ToolName>>>,
    pub(super) upstreams: Arc<EntryUpstreams>,
}

impl RouteTable {
    pub(crate) fn new(runtime: Option<Arc<dyn Runtime>>, client: Client) -> Self {
        Self {
            published: ArcSwap::default(),
            changing: Mutex::default(),
            upstreams: Upstreams::new(runtime, client),
        }
    }

    pub(crate) fn get(&self, name: &str) -> Option<Arc<PublishedGateway>> {
        self.published.load().get(name).cloned()
    }

    pub(crate) fn names(&self) -> Vec<GatewayName> {
        self.published.load().keys().cloned().collect()
    }

    /// Publishes a gateway as a whole; returns what it replaced, if clients may see a difference.
    pub(crate) fn publish(&self, publication: Publication) -> Result<Option<Republished>> {
        let _changing = self.change();
        let published = Arc::new(PublishedGateway::new(publication, &self.upstreams)?);
        let name = &published.spec.name;
        let before = self.get(name.as_str());
        let all = self.published.load().insert(name.clone(), published.clone());
        self.published.store(Arc::new(all));
        for route in &published.routes {
            route.upstreams.seed(&route.installs);
        }
        for route in before.iter().flat_map(|before| &before.routes) {
            self.forget_unreachable(route, &route.upstreams.used());
        }
        let is_same = before.as_ref().is_some_and(|before| before.is_same(&published));
        Ok((!is_same).then(|| Republished::whole(before, published)))
    }

    /// Changes gateways; returns those in which clients may see a difference. After an error nothing has changed.
    pub(crate) fn apply(&self, changes: Vec<PublicationChange>) -> Result<Vec<Republished>> {
        let _changing = self.change();
        let mut all = Gateways::clone(&self.published.load());
        let mut drafts = Vec::<Draft>::new();
        for change in changes {
            let at = drafts.iter().position(|draft| draft.name() == change.gateway());
            let draft = match at {
                Some(at) => &mut drafts[at],
                None => {
                    drafts.push(Draft::of(all.get(change.gateway()), change.gateway())?);
                    let last = drafts.len() - 1;
                    &mut drafts[last]
                }
            };
            draft.make(change, &self.upstreams)?;
        }
        for draft in &mut drafts {
            let after = draft.finish();
            all.insert_mut(after.spec.name.clone(), after);
        }
        self.published.store(Arc::new(all));
        for draft in &drafts {
            draft.seed();
            draft.for_removed(|route, names| self.forget_unreachable(route, names));
        }
        Ok(drafts.into_iter().filter_map(Draft::republished).collect())
    }

    pub(crate) fn withdraw(&self, name: &GatewayName) {
        let _changing = self.change();
        let before = self.get(name.as_str());
        let all = self.published.load().remove(name);
        self.published.store(Arc::new(all));
        for route in before.iter().flat_map(|before| &before.routes) {
            self.forget_unreachable(route, &route.upstreams.used());
        }
    }

    /// Registers a server that was created elsewhere, so that publications find it under its install.
    pub(crate) fn adopt(&self, install: InstallName, upstream: &Arc<UpstreamServer>) {
        self.upstreams.adopt(install, upstream);
    }

    /// Drops the servers of those of `names` that no gateway has any more.
    fn forget_unreachable(&self, route: &ServerRoute, names: &[InstallName]) {
        if names.is_empty() {
            return;
        }
        let all = self.published.load();
        let routes = all
            .values()
            .filter_map(|gateway| gateway.route(route.server.name.as_str()));
        let routes: Vec<_> = routes
            .filter(|other| Arc::ptr_eq(&other.upstreams, &route.upstreams))
            .collect();
        let is_reachable = |name: &&InstallName| routes.iter().any(|route| route.installs.get(name).is_some());
        let gone: Vec<_> = names.iter().filter(|name| !is_reachable(name)).copied().collect();
        route.upstreams.forget(&gone);
    }

    fn change(&self) -> MutexGuard<'_, ()> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PublishedGateway {
    fn new(publication: Publication, upstreams: &Upstreams) -> Result<Self> {
        let routes = publication.routes.iter();
        let routes: Result<Vec<_>> = routes
            .map(|route| ServerRoute::new(route, upstreams).map(Arc::new))
            .collect();
        let mut routes = routes?;
        routes.sort_by(|one, other| one.server.name.cmp(&other.server.name));
        routes.dedup_by(|later, first| later.server.name == first.server.name);
        Ok(Self::with_routes(publication.gateway, routes))
    }

    pub(super) fn with_routes(spec: GatewaySpec, routes: Vec<Arc<ServerRoute>>) -> Self {
        let passthrough = spec.passthrough.iter().filter_map(|name| {
            let name = HeaderName::try_from(name.as_str()).ok()?;
            passthrough::may_pass(&name).then_some(name)
        });
        Self {
            passthrough: passthrough.collect(),
            routes,
            aliases: Aliases::of(&spec).map(Arc::from),
            collisions: Arc::default(),
            spec: Arc::new(spec),
        }
    }

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
    pub(crate) fn routes(&self) -> &[Arc<ServerRoute>] {
        &self.routes
    }

    /// Returns an install of this gateway that `caller` may use, and its server.
    pub(crate) fn place(&self, install: &InstallName, caller: &Caller) -> Option<Place<'_>> {
        let mut routes = self.routes.iter();
        routes.find_map(|route| Some((&**route, route.installs.reached(install, caller)?)))
    }

    /// Resolves the name of a tool or prompt to the servers that may have it.
    pub(crate) fn lookup<'a: 'n, 'n>(&'a self, name: &'n str) -> NameLookup<'a, 'n> {
        let aliased = self.aliases.as_ref().and_then(|aliases| aliases.target(name));
        if let Some((server, own)) = aliased {
            return NameLookup {
                routes: self.routes_of(server.as_str()),
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
        self.routes_of(server).first().map(|route| &**route)
    }

    /// Returns the position of the route to a server, or where it would be.
    pub(super) fn position(&self, server: &str) -> Result<usize, usize> {
        self.routes
            .binary_search_by(|route| route.server.name.as_str().cmp(server))
    }

    fn routes_of(&self, server: &str) -> &[Arc<ServerRoute>] {
        self.position(server)
            .map_or(&[], |at| std::slice::from_ref(&self.routes[at]))
    }
}

impl ServerRoute {
    pub(super) fn new(route: &Route, upstreams: &Upstreams) -> Result<Self> {
        let only = route.tools.as_ref().map(|tools| tools.iter().cloned().collect());
        Ok(Self {
            server: route.server.clone(),
            installs: route.installs.clone(),
            only: only.map(Arc::new),
            upstreams: upstreams.of(&route.server, &route.installs)?,
        })
    }

    /// Returns whether all clients see the same.
    fn is_same(&self, other: &Self) -> bool {
        let owners = |route: &'_ Self| -> Vec<_> {
            let installs = route.installs.iter();
            installs.map(|install| (install.name, install.owner.clone())).collect()
        };
        self.offers_same(other) && (self.installs.is_shared_with(&other.installs) || owners(self) == owners(other))
    }

    /// Returns whether both reach the same server and offer the same of it, to whomever.
    fn offers_same(&self, other: &Self) -> bool {
        self.server.name == other.server.name
            && self.only == other.only
            && Arc::ptr_eq(&self.upstreams, &other.upstreams)
    }

    /// Returns whether this caller sees the same through both routes.
    pub(super) fn is_same_for(one: Option<&Self>, other: Option<&Self>, caller: &Caller) -> bool {
        fn place<'a>(route: Option<&'a ServerRoute>, caller: &Caller) -> Option<Place<'a>> {
            let route = route?;
            Some((route, route.install_for(caller)?))
        }
        match (place(one, caller), place(other, caller)) {
            (None, None) => true,
            (Some((one, before)), Some((other, after))) => before.name == after.name && one.offers_same(other),
            _ => false,
        }
    }

    /// Returns the install that serves this caller: its own, then those of its teams in their order, then the
    /// organisation's.
    ///
    /// A personal install never serves other callers, even if it is pinned.
    pub(crate) fn install_for(&self, caller: &Caller) -> Option<&Arc<Install>> {
        self.installs.nearest(caller)
    }

    /// Returns the server of one of these installs.
    pub(crate) fn upstream(&self, install: &Install) -> Arc<UpstreamServer> {
        self.upstreams.get(install)
    }

    /// Returns whether all callers use an install of the organisation.
    pub(crate) fn is_shared_by_all(&self) -> bool {
        self.installs.is_of_org()
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
