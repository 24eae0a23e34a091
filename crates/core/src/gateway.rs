//! A gateway: a named endpoint for MCP clients; and the trait of what serves it.

use std::{fmt::Debug, sync::Arc};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::{GatewayName, Install, InstallName, Labels, Result, ServerName, ServerSpec, ToolName};

/// A named client-facing endpoint, as the registry keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct GatewaySpec {
    /// Its name, and the last part of its path: `/mcp/<name>`.
    pub name: GatewayName,
    /// What it is for; sent to clients as `instructions`.
    #[serde(default)]
    pub instructions: Option<String>,
    /// How tools are named towards clients.
    #[serde(default)]
    pub naming: Naming,
    /// How resources are named towards clients.
    #[serde(default, rename = "uris")]
    pub resource_naming: ResourceNaming,
    /// Names of their own that tools and prompts have here, in place of those that `naming` makes. Of two with one name the
    /// first counts; one of a server that the gateway does not have means nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<Alias>,
    /// Where its tools come from.
    #[serde(default)]
    pub selection: Selection,
    /// What organises it, and what [`Selection::ByLabels`] chooses by.
    #[serde(default)]
    pub labels: Labels,
    /// Request headers that are passed on upstream. Hop-by-hop and `Mcp-*` names never are.
    #[serde(default)]
    pub passthrough: Vec<String>,
}

/// How a gateway names tools.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Naming {
    /// `<server>__<tool>`, within 64 characters.
    #[default]
    Prefix,
    /// As their servers name them. Of two servers with the same tool, the first by name keeps it.
    Plain,
}

/// How a gateway names resources and resource templates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ResourceNaming {
    /// By the URIs that their servers have for them. Of two servers with the same URI, the first by name keeps it; a resource
    /// that no server lists is asked for at one after the other.
    #[default]
    Plain,
    /// With the name of the server in the URI: `file:///a` of the server `notes` is `mcp+notes+file:///a`, and
    /// `ui://chart` is `ui://notes/chart`. Every URI says whose it is, so that all resources of all servers can be had.
    ///
    /// URIs are rewritten where the protocol says that they are such: in lists, in links and embedded resources of results, in
    /// subscriptions, in references for completion, and where a tool names its app. In structured content, in texts and in
    /// arguments of tools they stay as they are. What is written in no such way is no resource of the gateway.
    Prefix,
}

/// The name of a tool or a prompt in one gateway.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Alias {
    /// What clients call it.
    pub name: ToolName,
    /// The server that has it.
    pub server: ServerName,
    /// What its server calls it.
    pub own: ToolName,
}

impl Alias {
    /// `own` of `server`, called `name`.
    pub fn new(name: ToolName, server: ServerName, own: ToolName) -> Self {
        Self { name, server, own }
    }
}

/// Where a gateway's tools come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Selection {
    /// Exactly these.
    Assigned(Vec<Assignment>),
    /// All servers that share a label with the gateway.
    ByLabels,
    /// Everything that the caller can reach.
    All,
}

impl Default for Selection {
    fn default() -> Self {
        Self::Assigned(Vec::new())
    }
}

/// A place in a gateway for the tools of one server.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Assignment {
    /// The server whose tools these are.
    pub server: ServerName,
    /// The install that serves every call; without one, it is resolved for the caller of each.
    #[serde(default)]
    pub install: Option<InstallName>,
    /// These tools only; without a list, all of them.
    #[serde(default)]
    pub tools: Option<Vec<ToolName>>,
}

impl Assignment {
    /// All tools of one install, for every caller who may use it.
    pub fn pinned(install: &Install) -> Self {
        Self {
            server: install.server.clone(),
            install: Some(install.name),
            tools: None,
        }
    }

    /// All tools of a server; which install serves a call is resolved from its caller.
    pub fn resolved(server: ServerName) -> Self {
        Self {
            server,
            install: None,
            tools: None,
        }
    }
}

impl GatewaySpec {
    /// A gateway without tools.
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

/// What a gateway serves from: its spec, and everything that it may route to. Built from the registry, whole.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Publication {
    /// The gateway.
    pub gateway: GatewaySpec,
    /// The servers behind it, sorted by name, each with the installs that may serve it.
    pub routes: Vec<Route>,
}

/// One server behind a gateway.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Route {
    /// The server.
    pub server: Arc<ServerSpec>,
    /// The ready installs that may serve it, sorted by name: a pinned one, or all for resolution by caller.
    pub installs: Vec<Arc<Install>>,
    /// Whether the assignment pins the one install.
    pub pinned: bool,
    /// These tools only.
    pub tools: Option<Vec<ToolName>>,
}

impl Publication {
    /// A publication of `gateway` with `routes`.
    pub fn new(gateway: GatewaySpec, mut routes: Vec<Route>) -> Self {
        routes.sort_by(|a, b| a.server.name.cmp(&b.server.name));
        Self { gateway, routes }
    }
}

impl Route {
    /// All tools of `server`, served by `installs`.
    pub fn new(server: Arc<ServerSpec>, mut installs: Vec<Arc<Install>>, pinned: bool) -> Self {
        installs.sort_by_key(|install| install.name);
        Self {
            server,
            installs,
            pinned,
            tools: None,
        }
    }
}

/// Serves gateways to MCP clients.
///
/// # Contract
///
/// - `publish` replaces what stood under the gateway's name, whole: a call sees the old publication or the new one,
///   never a mixture. When it returns, new calls see the new one.
/// - Publishing the same again changes nothing that a client can see; in particular no list-changed is sent.
/// - Calls that are under way keep the publication that they began with.
/// - `withdraw` makes the gateway unknown to new calls. Withdrawing what is not there succeeds.
#[async_trait]
pub trait Gateway: Debug + Send + Sync {
    /// Serves `publication` from now on.
    async fn publish(&self, publication: Publication) -> Result<()>;

    /// Serves the gateway `name` no longer.
    async fn withdraw(&self, name: &GatewayName) -> Result<()>;

    /// The gateways that are served, sorted by name.
    async fn published(&self) -> Result<Vec<GatewayName>>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_stored_before_a_field_was_there_is_read_with_its_default() {
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
