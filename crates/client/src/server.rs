//! A server, whichever transport and era it speaks.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use portolan_core::{
    Endpoint, Error, Failure, HttpEndpoint, InstallName, Result, Runtime, ServerSnapshot, ServerSpec, Source, Tool,
    UpstreamCredential,
};
use portolan_wire::envelope::Outcome;
use tokio_util::task::TaskTracker;

use crate::{
    calls::{
        reply::Reply,
        steps::{ResumeRequest, StreamCheckpoint},
    },
    catalog::{ListSnapshot, Listing, ServerLists},
    client::Client,
    connection::{Address, ServerConnection, unknown_endpoint},
    notifications::{NotificationFeed, NotificationFeeds},
    request::UpstreamRequest,
    server_info::ServerInfo,
    session_ref::UpstreamSessionRef,
};

/// A server that requests are sent to, over streamable HTTP or a [`Channel`](portolan_core::Channel), in whichever era it speaks.
///
/// It finds out the era by asking, opens sessions where they are needed and again when the server forgets them, keeps the
/// lists of tools, prompts and resources fresh, and follows the server's notifications while somebody subscribes.
#[derive(Debug)]
pub struct UpstreamServer {
    connection: Arc<ServerConnection>,
    lists: Arc<ServerLists>,
    feeds: Arc<NotificationFeeds>,
}

impl UpstreamServer {
    /// A server at a URL, with neither headers nor a pinned era.
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

    /// The server of `spec` at an HTTP endpoint.
    pub fn remote(client: &Client, spec: Arc<ServerSpec>, endpoint: HttpEndpoint) -> Self {
        Self::new(ServerConnection::remote(client, spec, endpoint))
    }

    /// The server of `spec` that `runtime` runs for `install`.
    pub fn running(client: &Client, spec: Arc<ServerSpec>, install: InstallName, runtime: Arc<dyn Runtime>) -> Self {
        let address = Address::Runtime(runtime, install);
        Self::new(ServerConnection::new(client, spec, address))
    }

    /// The server of `spec` at an endpoint.
    ///
    /// # Errors
    ///
    /// [`Error::NotReady`] if the endpoint is of a kind that this client does not know.
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

    fn new(connection: ServerConnection) -> Self {
        let (connection, feeds) = (Arc::new(connection), Arc::<NotificationFeeds>::default());
        Self {
            lists: Arc::new(ServerLists::new(connection.clone(), feeds.clone())),
            connection,
            feeds,
        }
    }

    /// The catalogue entry that this server was made from.
    pub fn spec(&self) -> &Arc<ServerSpec> {
        self.connection.spec()
    }

    /// Sends a request and returns what comes back, in the requester's era.
    ///
    /// # Errors
    ///
    /// [`Error::NotReady`] when the server cannot be reached, refuses the credential or breaks the protocol;
    /// [`Error::Timeout`] when it takes too long.
    pub async fn call(&self, request: &UpstreamRequest<'_>) -> Result<Reply> {
        self.connection.call(request).await
    }

    /// What the server said of itself; `None` before it was first asked for something.
    pub fn info(&self) -> Option<Arc<ServerInfo>> {
        self.connection.info()
    }

    /// Asks the server to introduce itself, unless it has.
    ///
    /// # Errors
    ///
    /// As [`call`](Self::call).
    pub async fn introduce(&self, credential: &Arc<UpstreamCredential>) -> Result<()> {
        self.connection.introduce(credential).await
    }

    /// Sends a message to a server at a URL, in a session that another replica may have opened. A stdio server gets none.
    ///
    /// # Errors
    ///
    /// As [`call`](Self::call); [`Error::Invalid`] if the session is not one of this server.
    pub async fn notify(
        &self,
        session: &UpstreamSessionRef,
        credential: &UpstreamCredential,
        message: Bytes,
    ) -> Result<()> {
        self.connection.notify(session, credential, message).await
    }

    /// Goes on with a call whose stream was left, perhaps by another replica; `None` if the server has no such streams.
    ///
    /// # Errors
    ///
    /// As [`call`](Self::call).
    pub async fn resume(&self, checkpoint: &StreamCheckpoint, request: ResumeRequest<'_>) -> Result<Option<Reply>> {
        self.connection.resume(checkpoint, request).await
    }

    /// Asks the server something for the gateway itself, and gives its whole answer, within the time of a handshake.
    pub async fn internal_request(&self, request: &UpstreamRequest<'_>) -> Result<Outcome> {
        self.connection.internal_request(request).await
    }

    /// What the client of `request` is told when a modern server has given the answer otherwise than to the call itself.
    pub fn told(&self, request: &UpstreamRequest<'_>, outcome: &Outcome) -> Result<Bytes> {
        self.connection.told(request, outcome)
    }

    /// Whether it is known to be reached at a URL, now.
    pub fn is_at_url(&self) -> bool {
        self.connection.is_at_url()
    }

    /// Whether a task that a call has become is found again by who asks for it later: in its session at a URL, or in the
    /// one process that all share.
    pub fn finds_tasks(&self) -> bool {
        self.connection.finds_tasks()
    }

    /// Where short work goes on that outlives a call.
    pub fn background(&self) -> &TaskTracker {
        self.connection.client().background()
    }

    /// The feed of the server's notifications for whoever is sent with `credential`.
    pub fn notifications(&self, credential: &Arc<UpstreamCredential>) -> Arc<NotificationFeed> {
        self.feeds.of(&self.lists, credential)
    }

    /// The list as it is known now, without waiting; `None` if it was not fetched yet.
    pub fn known<L: Listing>(&self, credential: &UpstreamCredential) -> Option<Arc<ListSnapshot<L>>> {
        self.lists.known(credential)
    }

    /// Whether the list was asked for within `age`, in vain.
    pub fn failed_within<L: Listing>(&self, credential: &UpstreamCredential, age: Duration) -> bool {
        self.lists.failed_within::<L>(credential, age)
    }

    /// The list. The first to ask waits, and so does whoever asks after the server said that it changed; others get what is
    /// known while it is fetched again in the background.
    ///
    /// # Errors
    ///
    /// [`Error::Timeout`](portolan_core::Error::Timeout) past [`ClientTimeouts::list`](crate::ClientTimeouts::list), else why
    /// the server cannot list.
    pub async fn list<L: Listing>(&self, credential: &Arc<UpstreamCredential>) -> Result<Arc<ListSnapshot<L>>> {
        self.lists.list(credential).await
    }

    /// The list, fetched again unless that was done within `age`.
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

    /// The tools that the server lists now, in its order, past every cache.
    ///
    /// # Errors
    ///
    /// As [`list`](Self::list).
    pub async fn fetch_tools(&self, credential: &Arc<UpstreamCredential>) -> Result<Vec<Tool>> {
        self.lists.fetch_tools(credential).await
    }

    /// Asks the server for all that it lists, in its order: tools, prompts, resources and templates. What cannot be used is
    /// left out and logged; nothing is kept.
    ///
    /// # Errors
    ///
    /// As [`UpstreamServer::call`].
    pub async fn fetch_snapshot(&self, credential: &Arc<UpstreamCredential>) -> Result<ServerSnapshot> {
        self.lists.fetch_snapshot(credential).await
    }

    /// Takes over the tools that a registry keeps, unless it says the same as before: the server itself may have been asked
    /// since. They are what callers see until the server has been asked, where the credential is the same for all callers.
    pub fn seed_tools(&self, tools: &[Tool]) {
        self.lists.seed_tools(tools);
    }

    /// The error that says why this server cannot answer.
    pub fn failed(&self, failure: Failure) -> Error {
        self.connection.failed(failure)
    }

    /// The error that says how this server broke the protocol.
    pub fn protocol_error(&self, problem: impl Into<String>) -> Error {
        self.connection.protocol_error(problem)
    }
}
