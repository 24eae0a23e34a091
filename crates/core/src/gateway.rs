//! Gateways: named endpoints for MCP clients.

use std::{fmt::Debug, sync::Arc};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::{Error, GatewayName, Install, InstallName, InstallSet, Labels, Result, ServerName, ServerSpec, ToolName};

/// The specification of a gateway: a named endpoint for MCP clients.
///
/// ```
/// use portolan_core::{GatewayName, GatewaySpec, Selection};
///
/// let mut gateway = GatewaySpec::new(GatewayName::parse("default")?);
/// gateway.selection = Selection::All;
/// # Ok::<(), portolan_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct GatewaySpec {
    /// The name, which is also the last part of the path: `/mcp/<name>`.
    pub name: GatewayName,
    /// The text that clients get as `instructions`.
    #[serde(default)]
    pub instructions: Option<String>,
    /// The naming of tools and prompts.
    #[serde(default)]
    pub naming: Naming,
    /// The naming of resources.
    #[serde(default, rename = "uris")]
    pub resource_naming: ResourceNaming,
    /// Names of single tools and prompts that replace those that `naming` makes. Of two aliases with one name the first
    /// counts; an alias for a server that the gateway does not have is ignored.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<Alias>,
    /// The servers behind the gateway.
    #[serde(default)]
    pub selection: Selection,
    /// The labels, by which [`Selection::ByLabels`] selects servers.
    #[serde(default)]
    pub labels: Labels,
    /// The names of request headers that are passed on to servers. Hop-by-hop and `Mcp-*` headers never are.
    #[serde(default)]
    pub passthrough: Vec<String>,
}

/// The naming of a gateway's tools and prompts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Naming {
    /// `<server>__<tool>`, within 64 characters.
    #[default]
    Prefix,
    /// The name that the server gives. Of two servers with the same tool, the first by name keeps it.
    Plain,
}

/// The naming of a gateway's resources and resource templates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ResourceNaming {
    /// The URI that the server gives. Of two servers with the same URI, the first by name keeps it; for a URI that no server
    /// lists, the gateway asks one server after the other.
    #[default]
    Plain,
    /// The URI with the name of the server: `file:///a` of the server `notes` is `mcp+notes+file:///a`, and `ui://chart` is
    /// `ui://notes/chart`. So all resources of all servers are reachable.
    ///
    /// URIs are rewritten in the members that the protocol defines as URIs: in lists, in links and embedded resources of
    /// results, in subscriptions, in references for completion, and where a tool names its app. In structured content, in
    /// texts and in arguments of tools they stay unchanged. The gateway has no resource under another URI.
    Prefix,
}

/// A name for one tool or prompt in one gateway.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Alias {
    /// The name towards clients.
    pub name: ToolName,
    /// The server.
    pub server: ServerName,
    /// The name that the server gives.
    pub own: ToolName,
}

impl Alias {
    /// Creates the name `name` for the tool or prompt `own` of `server`.
    ///
    /// ```
    /// use portolan_core::{Alias, ServerName, ToolName};
    ///
    /// let alias = Alias::new(ToolName::parse("search")?, ServerName::parse("docs")?, ToolName::parse("find_pages")?);
    /// # Ok::<(), portolan_core::Error>(())
    /// ```
    pub fn new(name: ToolName, server: ServerName, own: ToolName) -> Self {
        Self { name, server, own }
    }
}

/// The selection of the servers behind a gateway.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Selection {
    /// These assignments.
    Assigned(Vec<Assignment>),
    /// All servers that share a label with the gateway.
    ByLabels,
    /// All servers that have an install for the caller.
    All,
}

impl Default for Selection {
    fn default() -> Self {
        Self::Assigned(Vec::new())
    }
}

/// The assignment of a server's tools to a gateway.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Assignment {
    /// The server.
    pub server: ServerName,
    /// The install that serves every call; `None` to resolve it from the caller of each call.
    #[serde(default)]
    pub install: Option<InstallName>,
    /// The tools; `None` for all.
    #[serde(default)]
    pub tools: Option<Vec<ToolName>>,
}

impl Assignment {
    /// Assigns all tools of one install, for every caller who may use it.
    ///
    /// ```
    /// use portolan_core::{Assignment, Clock, Install, InstallName, Owner, ServerName, SystemClock};
    ///
    /// let name = InstallName::new(&SystemClock);
    /// let install = Install::new(name, ServerName::parse("docs")?, Owner::Org, SystemClock.now());
    /// assert_eq!(Assignment::pinned(&install).install, Some(name));
    /// # Ok::<(), portolan_core::Error>(())
    /// ```
    pub fn pinned(install: &Install) -> Self {
        Self {
            server: install.server.clone(),
            install: Some(install.name),
            tools: None,
        }
    }

    /// Assigns all tools of a server; the install that serves a call is resolved from its caller.
    ///
    /// ```
    /// use portolan_core::{Assignment, ServerName};
    ///
    /// assert_eq!(Assignment::resolved(ServerName::parse("docs")?).install, None);
    /// # Ok::<(), portolan_core::Error>(())
    /// ```
    pub fn resolved(server: ServerName) -> Self {
        Self {
            server,
            install: None,
            tools: None,
        }
    }
}

impl GatewaySpec {
    /// Creates a gateway without servers. For an example, see [`GatewaySpec`].
    pub fn new(name: GatewayName) -> Self {
        Self {
            name,
            instructions: None,
            naming: Naming::default(),
            resource_naming: ResourceNaming::default(),
            aliases: Vec::new(),
            selection: Selection::default(),
            labels: Labels::default(),
            passthrough: Vec::new(),
        }
    }
}

/// All that a gateway serves from: its spec and its routes. The orchestrator builds it from the registry.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Publication {
    /// The gateway.
    pub gateway: GatewaySpec,
    /// The servers behind it, sorted by name, each with the installs that serve it.
    pub routes: Vec<Route>,
}

/// The route of a gateway to one server.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Route {
    /// The server.
    pub server: Arc<ServerSpec>,
    /// The ready installs: a pinned one, or all from which one is resolved for each caller.
    pub installs: InstallSet,
    /// `true` if the assignment pins the one install.
    pub pinned: bool,
    /// The tools; `None` for all.
    pub tools: Option<Vec<ToolName>>,
}

impl Publication {
    /// Creates a publication of `gateway` with `routes`, and sorts them.
    ///
    /// ```
    /// use portolan_core::{GatewayName, GatewaySpec, Publication};
    ///
    /// let publication = Publication::new(GatewaySpec::new(GatewayName::parse("default")?), Vec::new());
    /// # Ok::<(), portolan_core::Error>(())
    /// ```
    pub fn new(gateway: GatewaySpec, mut routes: Vec<Route>) -> Self {
        routes.sort_by(|a, b| a.server.name.cmp(&b.server.name));
        Self { gateway, routes }
    }
}

impl Route {
    /// Creates a route to all tools of `server`, served by `installs`.
    ///
    /// ```
    /// use portolan_core::{InstallSet, Route, ServerSpec};
    ///
    /// let server = ServerSpec::remote("docs", "https://docs.example.com/mcp")?;
    /// let route = Route::new(server.into(), InstallSet::default(), false);
    /// assert!(route.tools.is_none());
    /// # Ok::<(), portolan_core::Error>(())
    /// ```
    pub fn new(server: Arc<ServerSpec>, installs: impl Into<InstallSet>, pinned: bool) -> Self {
        Self {
            server,
            installs: installs.into(),
            pinned,
            tools: None,
        }
    }
}

/// A change of a published gateway, for [`Gateway::apply`].
///
/// It carries what is new as a whole, so applying it twice is applying it once.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum PublicationChange {
    /// The spec of the gateway changed; its routes stay.
    Spec(Box<GatewaySpec>),
    /// A route was added, or replaces that to the same server.
    Route {
        /// The gateway.
        gateway: GatewayName,
        /// The route, as it is now.
        route: Route,
    },
    /// The gateway has no route to this server any more.
    RouteRemoved {
        /// The gateway.
        gateway: GatewayName,
        /// The server.
        server: ServerName,
    },
    /// Some installs of a route were added, replaced or removed.
    Installs {
        /// The gateway.
        gateway: GatewayName,
        /// The server of the route.
        server: ServerName,
        /// All installs of the route, as they are now.
        installs: InstallSet,
        /// The installs that differ from before. All others are the same values in memory.
        changed: Vec<InstallName>,
    },
}

impl PublicationChange {
    /// Returns the gateway that it changes.
    pub fn gateway(&self) -> &GatewayName {
        match self {
            Self::Spec(spec) => &spec.name,
            Self::Route { gateway, .. } | Self::RouteRemoved { gateway, .. } | Self::Installs { gateway, .. } => {
                gateway
            }
        }
    }

    /// Makes the change in `publication`, for implementors that keep publications as they are.
    ///
    /// ```
    /// use portolan_core::{
    ///     GatewayName, GatewaySpec, InstallSet, Publication, PublicationChange, Route, ServerSpec,
    /// };
    ///
    /// let name = GatewayName::parse("default")?;
    /// let mut publication = Publication::new(GatewaySpec::new(name.clone()), Vec::new());
    /// let server = ServerSpec::remote("docs", "https://docs.example.com/mcp")?;
    /// let route = Route::new(server.into(), InstallSet::default(), false);
    /// PublicationChange::Route { gateway: name, route }.apply_to(&mut publication)?;
    /// assert_eq!(publication.routes.len(), 1);
    /// # Ok::<(), portolan_core::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] for installs of a server to which there is no route.
    pub fn apply_to(self, publication: &mut Publication) -> Result<()> {
        let routes = &mut publication.routes;
        let at = |routes: &[Route], server: &ServerName| routes.binary_search_by(|route| route.server.name.cmp(server));
        match self {
            Self::Spec(spec) => publication.gateway = *spec,
            Self::Route { route, .. } => match at(routes, &route.server.name) {
                Ok(at) => routes[at] = route,
                Err(at) => routes.insert(at, route),
            },
            Self::RouteRemoved { server, .. } => {
                if let Ok(at) = at(routes, &server) {
                    routes.remove(at);
                }
            }
            Self::Installs { server, installs, .. } => {
                let at = at(routes, &server).map_err(|_| Error::not_found("route", &server))?;
                routes[at].installs = installs;
            }
        }
        Ok(())
    }
}

/// Serves gateways to MCP clients.
///
/// # Contract
///
/// - `publish` replaces the publication of the gateway as a whole: a call sees the old one or the new one, never a mixture.
///   When it returns, new calls see the new one.
/// - Publishing an equal publication again changes nothing that a client can see; in particular no list-changed
///   notification is sent.
/// - `apply` changes what is published, in the order of the changes. A call sees a gateway as it was before all changes to
///   it or as it is after them. When it returns, new calls see them. It costs what the changes touch, not what is
///   published.
/// - Changes of a gateway that is not published, and installs of a server to which the gateway has no route, are
///   [`Error::NotFound`]. That gateway stays as it is; the caller publishes it as a whole.
/// - A change to what is published already is no change, and clients are told of differences that they can see only: an
///   install that serves one person is no news for others.
/// - A call keeps the publication that it began with.
/// - `withdraw` makes the gateway unknown to new calls. Withdrawing an unknown one succeeds.
///
/// ```
/// use portolan_core::{Gateway, GatewayName, GatewaySpec, Publication, memory::MemoryGateway};
///
/// # tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(async {
/// let (gateway, name) = (MemoryGateway::new(), GatewayName::parse("default")?);
/// gateway.publish(Publication::new(GatewaySpec::new(name.clone()), Vec::new())).await?;
/// assert_eq!(gateway.published().await?, [name]);
/// # Ok::<(), portolan_core::Error>(())
/// # }).expect("a gateway");
/// ```
#[async_trait]
pub trait Gateway: Debug + Send + Sync {
    /// Serves `publication` from now on.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`](crate::Error::Invalid) for a publication that cannot be served.
    async fn publish(&self, publication: Publication) -> Result<()>;

    /// Changes what published gateways serve.
    ///
    /// # Errors
    ///
    /// - [`Error::NotFound`](crate::Error::NotFound) if a gateway, or a route whose installs changed, is not published.
    /// - [`Error::Invalid`](crate::Error::Invalid) for a change that cannot be served. That gateway stays as it is.
    async fn apply(&self, changes: Vec<PublicationChange>) -> Result<()>;

    /// Stops serving the gateway `name`.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`](crate::Error::Unavailable) if a gateway on another machine cannot be reached.
    async fn withdraw(&self, name: &GatewayName) -> Result<()>;

    /// Returns the names of the served gateways, sorted.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`](crate::Error::Unavailable) if a gateway on another machine cannot be reached.
    async fn published(&self) -> Result<Vec<GatewayName>>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_fields_get_defaults() {
        let spec: GatewaySpec = serde_json::from_str(r#"{"name":"g","of_later":1}"#).expect("a spec");
        assert_eq!(spec, GatewaySpec::new(GatewayName::parse("g").expect("a name")));
        assert_eq!(
            (spec.naming, spec.resource_naming),
            (Naming::Prefix, ResourceNaming::Plain)
        );
        let stored = serde_json::to_value(&spec).expect("JSON");
        assert_eq!(stored["uris"], "plain");
    }
}
