//! A server of any transport and era.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use portolan_core::{
    Endpoint, Error, Failure, HttpEndpoint, InstallName, Result, Runtime, ServerSnapshot, ServerSpec, Source, Tool,
    ToolSet, UpstreamCredential,
};
use portolan_wire::envelope::Outcome;
use tokio_util::task::TaskTracker;

use crate::{
    calls::{
        reply::Reply,
        steps::{ResumeRequest, StreamCheckpoint},
    },
    catalog::{ListSnapshot, Listing, ServerLists, ToolSeeds},
    client::Client,
    connection::{Address, ServerConnection, unknown_endpoint},
    notifications::{AnnouncedChanges, NotificationFeed, NotificationFeeds},
    request::UpstreamRequest,
    server_info::ServerInfo,
    session_ref::UpstreamSessionRef,
};

/// A server of either era, over streamable HTTP or a [`Channel`](portolan_core::Channel).
///
/// It detects the era, opens sessions where they are needed and again when the server forgets them, caches the lists of
/// tools, prompts and resources, and follows the server's notifications while somebody listens.
#[derive(Debug)]
pub struct UpstreamServer {
    connection: Arc<ServerConnection>,
    lists: Arc<ServerLists>,
    feeds: Arc<NotificationFeeds>,
}

impl UpstreamServer {
    /// Creates a server at a URL, without headers, whose era is detected.
    ///
    /// ```
    /// use portolan_client::{Client, ClientConfig, UpstreamServer};
    ///
    /// let client = Client::new(ClientConfig::default());
    /// let server = UpstreamServer::at_url(&client, "https://mcp.example.com/mcp")?;
    /// assert_eq!(server.spec().name.as_str(), "server");
    /// # Ok::<(), portolan_client::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] if `url` is not an `http` or `https` URL.
    pub fn at_url(client: &Client, url: impl AsRef<str>) -> Result<Arc<Self>> {
        let spec = ServerSpec::remote("server", url.as_ref())?;
        let Source::Remote { url } = &spec.source else {
            return Err(Error::invalid("server", "has no URL"));
        };
        let endpoint = HttpEndpoint::new(url.clone());
        Ok(Arc::new(Self::remote(client, Arc::new(spec), endpoint)))
    }

    /// Creates the server of `spec` at an HTTP endpoint. The headers and the pinned era of `spec` apply.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use portolan_client::{Client, ClientConfig, UpstreamServer};
    /// use portolan_core::{HttpEndpoint, ProtocolEra, ServerSpec};
    ///
    /// let mut spec = ServerSpec::remote("crm", "https://crm.example.com/mcp")?;
    /// spec.era = ProtocolEra::Legacy;
    /// spec.headers.insert("x-tenant".into(), "blue".into());
    /// let endpoint = HttpEndpoint::new("https://crm.example.com/mcp".parse().expect("a URL"));
    /// let client = Client::new(ClientConfig::default());
    /// let server = UpstreamServer::remote(&client, Arc::new(spec), endpoint);
    /// assert!(server.info().is_none());
    /// # Ok::<(), portolan_client::Error>(())
    /// ```
    pub fn remote(client: &Client, spec: Arc<ServerSpec>, endpoint: HttpEndpoint) -> Self {
        Self::new(ServerConnection::remote(client, spec, endpoint))
    }

    /// Creates the server of `spec` that `runtime` runs for `install`. Its address is asked for on each call, and a server
    /// that sleeps is woken.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use portolan_client::{Client, ClientConfig, UpstreamServer};
    /// use portolan_core::{Endpoint, HttpEndpoint, InstallName, ServerSpec, SystemClock, memory::MemoryRuntime};
    ///
    /// let endpoint = Endpoint::Http(HttpEndpoint::new("http://127.0.0.1:8000/mcp".parse().expect("a URL")));
    /// let runtime = Arc::new(MemoryRuntime::new(endpoint, Arc::new(SystemClock)));
    /// let spec = Arc::new(ServerSpec::command("time", "uvx", ["mcp-server-time"])?);
    /// let client = Client::new(ClientConfig::default());
    /// let server = UpstreamServer::running(&client, spec, InstallName::new(&SystemClock), runtime);
    /// # Ok::<(), portolan_client::Error>(())
    /// ```
    pub fn running(client: &Client, spec: Arc<ServerSpec>, install: InstallName, runtime: Arc<dyn Runtime>) -> Self {
        let address = Address::Runtime(runtime, install);
        Self::new(ServerConnection::new(client, spec, address))
    }

    /// Creates the server of `spec` at an endpoint of any kind, such as a channel to a stdio server.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use portolan_client::{Client, ClientConfig, UpstreamServer};
    /// use portolan_core::{Endpoint, HttpEndpoint, ServerSpec};
    ///
    /// let spec = ServerSpec::remote("crm", "https://crm.example.com/mcp")?;
    /// let endpoint = Endpoint::Http(HttpEndpoint::new("http://127.0.0.1:8000/mcp".parse().expect("a URL")));
    /// let client = Client::new(ClientConfig::default());
    /// let server = UpstreamServer::at_endpoint(&client, Arc::new(spec), endpoint)?;
    /// # Ok::<(), portolan_client::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::NotReady`] if this version of the client does not know the kind of endpoint.
    pub fn at_endpoint(client: &Client, spec: Arc<ServerSpec>, endpoint: Endpoint) -> Result<Self> {
        match endpoint {
            Endpoint::Http(endpoint) => Ok(Self::remote(client, spec, endpoint)),
            Endpoint::Channel(channel) => {
                let address = Address::Channel(channel);
                Ok(Self::new(ServerConnection::new(client, spec, address)))
            }
            _ => Err(unknown_endpoint(&spec.name)),
        }
    }

    /// Returns the connection to the server.
    pub(crate) fn connection(&self) -> &ServerConnection {
        &self.connection
    }

    fn new(connection: ServerConnection) -> Self {
        let (connection, feeds) = (Arc::new(connection), Arc::<NotificationFeeds>::default());
        let lists = Arc::new(ServerLists::new(connection.clone(), feeds.clone()));
        connection
            .changes()
            .set(Box::new(AnnouncedChanges::new(&lists, &feeds)));
        Self {
            lists,
            connection,
            feeds,
        }
    }

    /// Returns the catalogue entry of this server.
    pub fn spec(&self) -> &Arc<ServerSpec> {
        self.connection.spec()
    }

    /// Sends a request and returns the reply in the requester's era, as it arrives.
    ///
    /// This is the interface for relays. For a program's own requests, see [`request`](Self::request) and
    /// [`call_tool`](Self::call_tool).
    ///
    /// # Errors
    ///
    /// [`Error::NotReady`] if the server cannot be reached, refuses the credential or breaks the protocol;
    /// [`Error::Timeout`] past a deadline.
    pub async fn call(&self, request: &UpstreamRequest<'_>) -> Result<Reply> {
        self.connection.call(request).await
    }

    /// Returns the information that the server gave about itself; `None` before the first request.
    pub fn info(&self) -> Option<Arc<ServerInfo>> {
        self.connection.info()
    }

    /// Asks the server for information about itself, unless it is known. Does not wake a server: see
    /// [`connect`](Self::connect).
    ///
    /// # Errors
    ///
    /// As [`call`](Self::call).
    pub async fn introduce(&self, credential: &Arc<UpstreamCredential>) -> Result<()> {
        self.connection.introduce(credential).await
    }

    /// Sends a message to an HTTP server, in a session that another replica may have opened. Does nothing for a stdio
    /// server.
    ///
    /// # Errors
    ///
    /// As [`call`](Self::call); [`Error::Invalid`] if `session` is not valid for this server.
    pub async fn notify(
        &self,
        session: &UpstreamSessionRef,
        credential: &UpstreamCredential,
        message: Bytes,
    ) -> Result<()> {
        self.connection.notify(session, credential, message).await
    }

    /// Resumes a call whose stream was left, perhaps by another replica. Returns `None` if the server has no such streams.
    ///
    /// # Errors
    ///
    /// As [`call`](Self::call).
    pub async fn resume(&self, checkpoint: &StreamCheckpoint, request: ResumeRequest<'_>) -> Result<Option<Reply>> {
        self.connection.resume(checkpoint, request).await
    }

    /// Sends a request of the relay itself, and returns the whole outcome, within
    /// [`ClientTimeouts::handshake`](crate::ClientTimeouts::handshake).
    ///
    /// # Errors
    ///
    /// As [`call`](Self::call); [`Error::Timeout`] past the deadline.
    pub async fn internal_request(&self, request: &UpstreamRequest<'_>) -> Result<Outcome> {
        self.connection.internal_request(request).await
    }

    /// Converts the outcome of a task, which a modern server gave in response to another request, for the client of
    /// `request`.
    ///
    /// # Errors
    ///
    /// [`Error::NotReady`] of kind [`FailureKind::Protocol`](portolan_core::FailureKind::Protocol) if the outcome is no
    /// response to the call.
    pub fn told(&self, request: &UpstreamRequest<'_>, outcome: &Outcome) -> Result<Bytes> {
        self.connection.told(request, outcome)
    }

    /// Returns `true` if the server is known to be reached by HTTP now.
    pub fn is_at_url(&self) -> bool {
        self.connection.is_at_url()
    }

    /// Returns `true` if a later request finds a task of this server: in its session at a URL, or in the one process that
    /// all callers share.
    pub fn finds_tasks(&self) -> bool {
        self.connection.finds_tasks()
    }

    /// Returns the tracker of short work that outlives a call.
    pub fn background(&self) -> &TaskTracker {
        self.connection.client().background()
    }

    /// Returns the feed of the server's notifications with this credential. Equal credentials share one.
    ///
    /// For an example, see the [module docs](crate::notifications).
    pub fn notifications(&self, credential: &Arc<UpstreamCredential>) -> Arc<NotificationFeed> {
        self.feeds.of(&self.lists, credential)
    }

    /// The list as it is known now, without waiting; `None` if it was not fetched yet.
    pub fn known<L: Listing>(&self, credential: &UpstreamCredential) -> Option<Arc<ListSnapshot<L>>> {
        self.lists.known(credential)
    }

    /// Returns `true` if fetching the list failed less than `age` ago.
    pub fn failed_within<L: Listing>(&self, credential: &UpstreamCredential, age: Duration) -> bool {
        self.lists.failed_within::<L>(credential, age)
    }

    /// Returns the list. The first caller waits until it is fetched, and so does the next one after the server announced a
    /// change; others get the cached list, which is fetched again in the background when it is older than
    /// [`ClientTimeouts::list_age`](crate::ClientTimeouts::list_age).
    ///
    /// The [crate docs](crate) have an example.
    ///
    /// # Errors
    ///
    /// [`Error::Timeout`](portolan_core::Error::Timeout) past [`ClientTimeouts::list`](crate::ClientTimeouts::list); else
    /// as [`call`](Self::call). After a failure the cached list is returned, if there is one.
    pub async fn list<L: Listing>(&self, credential: &Arc<UpstreamCredential>) -> Result<Arc<ListSnapshot<L>>> {
        self.lists.list(credential).await
    }

    /// Returns the list, fetched again if that was `age` ago or longer.
    ///
    /// # Errors
    ///
    /// As [`list`](Self::list).
    pub async fn list_within<L: Listing>(
        &self,
        credential: &Arc<UpstreamCredential>,
        age: Duration,
    ) -> Result<Arc<ListSnapshot<L>>> {
        self.lists.list_within(credential, age).await
    }

    /// Returns the tools that the server lists now, in its order, without the cache.
    ///
    /// # Errors
    ///
    /// As [`call`](Self::call). There is no deadline for the list as a whole.
    pub async fn fetch_tools(&self, credential: &Arc<UpstreamCredential>) -> Result<Vec<Tool>> {
        self.lists.fetch_tools(credential).await
    }

    /// Returns the tools that the server lists now, with those that were left out, without the cache.
    ///
    /// # Errors
    ///
    /// As [`fetch_tools`](Self::fetch_tools).
    pub async fn fetch_tools_snapshot(&self, credential: &Arc<UpstreamCredential>) -> Result<ServerSnapshot> {
        self.lists.fetch_tools_snapshot(credential).await
    }

    /// Fetches all lists, in the server's order: tools, prompts, resources and templates. Items that are not valid are
    /// left out and logged. Nothing is cached.
    ///
    /// # Errors
    ///
    /// As [`UpstreamServer::call`].
    pub async fn fetch_snapshot(&self, credential: &Arc<UpstreamCredential>) -> Result<ServerSnapshot> {
        self.lists.fetch_snapshot(credential).await
    }

    /// Seeds the cached tools with those of a registry, unless the registry gave the same before: the server may have been
    /// asked since. Callers see them until the server has been asked, where all callers have the same credential. Servers of one
    /// name that are given equal tools and the same `seeds` share them.
    pub fn seed_tools(&self, tools: &ToolSet, seeds: &ToolSeeds) {
        self.lists.seed_tools(tools, seeds);
    }

    /// Returns an [`Error::NotReady`] of this server.
    pub fn failed(&self, failure: Failure) -> Error {
        self.connection.failed(failure)
    }

    /// Returns an [`Error::NotReady`] of kind [`FailureKind::Protocol`](portolan_core::FailureKind::Protocol).
    pub fn protocol_error(&self, problem: impl Into<String>) -> Error {
        self.connection.protocol_error(problem)
    }
}
