//! Discovery: the catalogue of a server.

use std::fmt::Debug;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{Endpoint, OmittedDefinition, Result, Tool, UpstreamCredential};

/// Asks a server for its catalogue.
///
/// # Contract
///
/// - All pages of each list are read, within a documented bound.
/// - One bad definition is left out and logged; it does not lose the list.
/// - A server that does not offer a kind of item has an empty list of it.
/// - Definitions are kept byte for byte, in the server's order.
/// - Asking changes nothing on the server and may be repeated.
///
/// ```
/// use portolan_core::{Discovery, Endpoint, HttpEndpoint, UpstreamCredential, memory::MemoryDiscovery};
///
/// # tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(async {
/// let endpoint = Endpoint::Http(HttpEndpoint::new("https://docs.example.com/mcp".parse().expect("a URL")));
/// let discovery = MemoryDiscovery::new(Vec::new());
/// let snapshot = discovery.snapshot(&endpoint, &UpstreamCredential::none()).await?;
/// assert!(snapshot.tools.is_empty());
/// # Ok::<(), portolan_core::Error>(())
/// # }).expect("a snapshot");
/// ```
#[async_trait]
pub trait Discovery: Debug + Send + Sync {
    /// Returns all that the server at `endpoint` lists.
    ///
    /// # Errors
    ///
    /// - [`Error::NotReady`](crate::Error::NotReady) if the server cannot be reached, refuses the credential, or does not
    ///   speak MCP.
    /// - [`Error::Timeout`](crate::Error::Timeout) if it does not answer in time.
    async fn snapshot(&self, endpoint: &Endpoint, credential: &UpstreamCredential) -> Result<ServerSnapshot>;

    /// Returns the tools that the server at `endpoint` lists. An implementation that can ask for tools alone does.
    ///
    /// # Errors
    ///
    /// Those of [`snapshot`](Self::snapshot).
    async fn tools(&self, endpoint: &Endpoint, credential: &UpstreamCredential) -> Result<Vec<Tool>> {
        Ok(self.snapshot(endpoint, credential).await?.tools)
    }

    /// Asks for the tools alone, with those that were left out. By default it asks for everything.
    ///
    /// # Errors
    ///
    /// Those of [`snapshot`](Self::snapshot).
    async fn tools_snapshot(&self, endpoint: &Endpoint, credential: &UpstreamCredential) -> Result<ServerSnapshot> {
        self.snapshot(endpoint, credential).await
    }
}

/// The catalogue of a server at one time: raw definitions, in the server's order.
///
/// ```
/// use portolan_core::ServerSnapshot;
///
/// let snapshot: ServerSnapshot = serde_json::from_str(r#"{"tools":[{"name":"now"}]}"#).expect("a snapshot");
/// assert_eq!(snapshot.tools[0].name().as_str(), "now");
/// assert!(snapshot.prompts.is_empty());
/// ```
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct ServerSnapshot {
    /// The tools (`tools/list`).
    pub tools: Vec<Tool>,
    /// The prompts (`prompts/list`), as raw JSON objects.
    pub prompts: Vec<Box<RawValue>>,
    /// The resources (`resources/list`), as raw JSON objects.
    pub resources: Vec<Box<RawValue>>,
    /// The resource templates (`resources/templates/list`), as raw JSON objects.
    pub templates: Vec<Box<RawValue>>,
    /// What was left out of these lists.
    pub omitted: Vec<OmittedDefinition>,
}

impl ServerSnapshot {
    /// Creates a snapshot of a server that has these tools and nothing else.
    ///
    /// ```
    /// assert!(portolan_core::ServerSnapshot::of_tools(Vec::new()).is_empty());
    /// ```
    pub fn of_tools(tools: Vec<Tool>) -> Self {
        Self {
            tools,
            ..Self::default()
        }
    }

    /// Returns `true` if the server lists nothing.
    pub fn is_empty(&self) -> bool {
        self.tools.is_empty() && self.prompts.is_empty() && self.resources.is_empty() && self.templates.is_empty()
    }
}

impl PartialEq for ServerSnapshot {
    /// Compares the definitions as text.
    fn eq(&self, other: &Self) -> bool {
        let same = |a: &[Box<RawValue>], b: &[Box<RawValue>]| {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.get() == b.get())
        };
        self.tools == other.tools
            && same(&self.prompts, &other.prompts)
            && same(&self.resources, &other.resources)
            && same(&self.templates, &other.templates)
            && self.omitted == other.omitted
    }
}
