//! A server of any transport and era.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use portolan_core::{
    Channel, Endpoint, Error, Failure, FailureKind, HttpEndpoint, InstallName, Result, Runtime, ServerName, ServerSpec,
    Source, UpstreamCredential,
};
use portolan_wire::era::{Era, ProtocolVersion};

use crate::{
    call::{Reply, Requester, UpstreamRequest},
    catalog::Catalogs,
    client::Client,
    config::ClientConfig,
    notifications::{NotificationFeed, NotificationFeeds, ServerNotification},
    server_info::{ServerInfo, ServerInfoCell},
    session_ref::UpstreamSessionRef,
    stdio,
    steps::{ResumeRequest, StreamCheckpoint},
    streamable_http::HttpServer,
    wake::WakeCoordinator,
};

/// A server of either era, over streamable HTTP or a [`Channel`].
///
/// It detects the era, opens sessions where they are needed and again when the server forgets them, caches the lists of
/// tools, prompts and resources, and follows the server's notifications while somebody listens.
#[derive(Debug)]
pub struct UpstreamServer {
    pub(crate) spec: Arc<ServerSpec>,
    pub(crate) catalogs: Catalogs,
    pub(crate) info: Arc<ServerInfoCell>,
    feeds: NotificationFeeds,
    pub(crate) address: Address,
    pub(crate) client: Client,
    /// The HTTP side of a server that a runtime runs, replaced when its address changes.
    pub(crate) resolved: ArcSwapOption<HttpServer>,
    wake: WakeCoordinator,
}

/// The configured address of a server.
#[derive(Debug)]
pub(crate) enum Address {
    /// An address that does not change.
    Fixed(Arc<HttpServer>),
    /// A channel.
    Channel(Arc<dyn Channel>),
    /// The address that the runtime returns, asked for on each call.
    Runtime(Arc<dyn Runtime>, InstallName),
}

/// The present address of a server.
pub(crate) enum Route {
    Http(Arc<HttpServer>),
    Channel(Arc<dyn Channel>),
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
        let info = Arc::<ServerInfoCell>::default();
        let http = HttpServer::new(spec.clone(), endpoint, client.clone(), info.clone());
        let mut server = Self::new(client, spec, Address::Fixed(Arc::new(http)));
        server.info = info;
        server
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
        Self::new(client, spec, Address::Runtime(runtime, install))
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
            Endpoint::Channel(channel) => Ok(Self::new(client, spec, Address::Channel(channel))),
            _ => Err(unknown_endpoint(&spec.name)),
        }
    }

    fn new(client: &Client, spec: Arc<ServerSpec>, address: Address) -> Self {
        Self {
            catalogs: Catalogs::new(),
            spec,
            info: Arc::default(),
            feeds: NotificationFeeds::default(),
            address,
            client: client.clone(),
            resolved: None.into(),
            wake: WakeCoordinator::default(),
        }
    }

    /// Returns the catalogue entry of this server.
    pub fn spec(&self) -> &Arc<ServerSpec> {
        &self.spec
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
        // Internal requests do not wake a server.
        let wakes = !matches!(request.requester, Requester::Internal);
        match self.route(wakes).await? {
            Route::Http(http) => http.call(request).await,
            Route::Channel(channel) => Box::pin(stdio::call(self, &channel, request)).await,
        }
    }

    /// Returns the present address of the server. With `wakes`, a server that sleeps is woken.
    pub(crate) async fn route(&self, wakes: bool) -> Result<Route> {
        let (runtime, install) = match &self.address {
            Address::Fixed(http) => return Ok(Route::Http(http.clone())),
            Address::Channel(channel) => return Ok(Route::Channel(channel.clone())),
            Address::Runtime(runtime, install) => (runtime, install),
        };
        let mut endpoint = runtime.endpoint(install).await;
        if endpoint.is_err() && wakes {
            let budget = self.config().timeouts.wake;
            endpoint = Box::pin(self.wake.endpoint(runtime, install, budget)).await;
        }
        match endpoint? {
            Endpoint::Http(endpoint) => Ok(Route::Http(self.http_at(endpoint))),
            Endpoint::Channel(channel) => Ok(Route::Channel(channel)),
            _ => Err(unknown_endpoint(&self.spec.name)),
        }
    }

    /// Returns the information that the server gave about itself; `None` before the first request.
    pub fn info(&self) -> Option<Arc<ServerInfo>> {
        self.info.get()
    }

    /// Asks the server for information about itself, unless it is known. Does not wake a server: see
    /// [`connect`](Self::connect).
    ///
    /// # Errors
    ///
    /// As [`call`](Self::call).
    pub async fn introduce(&self, credential: &Arc<UpstreamCredential>) -> Result<()> {
        if self.info.get().is_some() {
            return Ok(());
        }
        match self.route(false).await? {
            Route::Http(http) => http.introduce(credential).await,
            Route::Channel(channel) => {
                self.info.learn_handshake(&channel.handshake().await?);
                Ok(())
            }
        }
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
        match self.route(false).await? {
            Route::Http(http) => http.notify_session(session, credential, message).await,
            Route::Channel(_) => Ok(()),
        }
    }

    /// Resumes a call whose stream was left, perhaps by another replica. Returns `None` if the server has no such streams.
    ///
    /// # Errors
    ///
    /// As [`call`](Self::call).
    pub async fn resume(&self, checkpoint: &StreamCheckpoint, request: ResumeRequest<'_>) -> Result<Option<Reply>> {
        match self.route(false).await? {
            Route::Http(http) => http.resume(checkpoint, request).await.map(Some),
            Route::Channel(_) => Ok(None),
        }
    }

    /// Returns the feed of the server's notifications with this credential. Equal credentials share one.
    ///
    /// For an example, see the [module docs](crate::notifications).
    pub fn notifications(self: &Arc<Self>, credential: &Arc<UpstreamCredential>) -> Arc<NotificationFeed> {
        self.feeds.of(self, credential)
    }

    /// Passes a notification that this client generated to the listeners of all feeds.
    pub(crate) fn announce(&self, notification: &ServerNotification) {
        self.feeds.tell(notification);
    }

    fn http_at(&self, endpoint: HttpEndpoint) -> Arc<HttpServer> {
        if let Some(http) = self.resolved.load_full()
            && *http.endpoint() == endpoint
        {
            return http;
        }
        let (client, info) = (self.client.clone(), self.info.clone());
        let http = Arc::new(HttpServer::new(self.spec.clone(), endpoint, client, info));
        self.resolved.store(Some(http.clone()));
        http
    }

    /// Returns an [`Error::NotReady`] of this server.
    pub fn failed(&self, failure: Failure) -> Error {
        Error::NotReady {
            what: "server",
            name: self.spec.name.to_string(),
            failure,
        }
    }

    /// Returns an [`Error::NotReady`] of kind [`FailureKind::Protocol`].
    pub fn protocol_error(&self, problem: impl Into<String>) -> Error {
        self.failed(Failure::new(FailureKind::Protocol, problem))
    }

    pub(crate) fn config(&self) -> &ClientConfig {
        self.client.config()
    }
}

/// Returns the newest legacy version that both a client and a server speak.
pub(crate) fn legacy_version(wanted: Option<ProtocolVersion>, offered: &[ProtocolVersion]) -> ProtocolVersion {
    let newest = offered
        .iter()
        .copied()
        .filter(|version| version.era() == Era::Legacy)
        .max_by_key(|version| version.as_str());
    match wanted {
        Some(version) if offered.is_empty() || offered.contains(&version) => version,
        _ => newest.unwrap_or(ProtocolVersion::NEWEST_LEGACY),
    }
}

pub(crate) fn unknown_endpoint(server: &ServerName) -> Error {
    let problem = "its runtime returned an endpoint of a kind that this client does not know";
    Error::NotReady {
        what: "server",
        name: server.to_string(),
        failure: Failure::new(FailureKind::Config, problem),
    }
}
