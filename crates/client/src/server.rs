//! A server, whichever transport and era it speaks.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use portolan_core::{
    Channel, Endpoint, Error, Failure, FailureKind, HttpEndpoint, InstallName, Result, Runtime, ServerName, ServerSpec,
    Source, UpstreamCredential,
};

use crate::{
    calls::reply::Reply,
    calls::stdio,
    calls::steps::{ResumeRequest, StreamCheckpoint},
    calls::streamable_http::HttpUpstream,
    catalog::Catalogs,
    client::Client,
    config::ClientConfig,
    connection::wake::WakeCoordinator,
    http_server::HttpServer,
    notifications::{NotificationFeed, NotificationFeeds, ServerNotification},
    request::{Requester, UpstreamRequest},
    server_info::{ServerInfo, ServerInfoCell},
    session_ref::UpstreamSessionRef,
};

/// A server that requests are sent to, over streamable HTTP or a [`Channel`], in whichever era it speaks.
///
/// It finds out the era by asking, opens sessions where they are needed and again when the server forgets them, keeps the
/// lists of tools, prompts and resources fresh, and follows the server's notifications while somebody subscribes.
#[derive(Debug)]
pub struct UpstreamServer {
    pub(crate) spec: Arc<ServerSpec>,
    pub(crate) catalogs: Catalogs,
    pub(crate) info: Arc<ServerInfoCell>,
    feeds: NotificationFeeds,
    pub(crate) address: Address,
    pub(crate) client: Client,
    /// The HTTP side of a server that a runtime runs, made anew when its address changes.
    pub(crate) resolved: ArcSwapOption<HttpUpstream>,
    wake: WakeCoordinator,
}

/// Where a server is configured to be.
#[derive(Debug)]
pub(crate) enum Address {
    /// At an address that does not change.
    Fixed(Arc<HttpUpstream>),
    /// Behind the owner of its pipes.
    Channel(Arc<dyn Channel>),
    /// Wherever the runtime says, asked on each call.
    Runtime(Arc<dyn Runtime>, InstallName),
}

/// Where a server is reached now.
pub(crate) enum Route {
    Http(Arc<HttpUpstream>),
    Channel(Arc<dyn Channel>),
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
        let info = Arc::<ServerInfoCell>::default();
        let http = HttpServer::new(spec.clone(), endpoint, client.clone(), info.clone());
        let mut server = Self::new(client, spec, Address::Fixed(Arc::new(HttpUpstream::new(http))));
        server.info = info;
        server
    }

    /// The server of `spec` that `runtime` runs for `install`.
    pub fn running(client: &Client, spec: Arc<ServerSpec>, install: InstallName, runtime: Arc<dyn Runtime>) -> Self {
        Self::new(client, spec, Address::Runtime(runtime, install))
    }

    /// The server of `spec` at an endpoint.
    ///
    /// # Errors
    ///
    /// [`Error::NotReady`] if the endpoint is of a kind that this client does not know.
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

    /// The catalogue entry that this server was made from.
    pub fn spec(&self) -> &Arc<ServerSpec> {
        &self.spec
    }

    /// Sends a request and returns what comes back, in the requester's era.
    ///
    /// # Errors
    ///
    /// [`Error::NotReady`] when the server cannot be reached, refuses the credential or breaks the protocol;
    /// [`Error::Timeout`] when it takes too long.
    pub async fn call(&self, request: &UpstreamRequest<'_>) -> Result<Reply> {
        // What this process asks for itself does not wake a server.
        let wakes = !matches!(request.requester, Requester::Internal);
        match self.route(wakes).await? {
            Route::Http(http) => http.call(request).await,
            Route::Channel(channel) => Box::pin(stdio::call(self, &channel, request)).await,
        }
    }

    /// Where the server is now. With `wakes`, one that sleeps is woken.
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

    /// What the server said of itself; `None` before it was first asked for something.
    pub fn info(&self) -> Option<Arc<ServerInfo>> {
        self.info.get()
    }

    /// Asks the server to introduce itself, unless it has.
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
        match self.route(false).await? {
            Route::Http(http) => http.http().notify_session(session, credential, message).await,
            Route::Channel(_) => Ok(()),
        }
    }

    /// Goes on with a call whose stream was left, perhaps by another replica; `None` if the server has no such streams.
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

    /// The feed of the server's notifications for whoever is sent with `credential`.
    pub fn notifications(self: &Arc<Self>, credential: &Arc<UpstreamCredential>) -> Arc<NotificationFeed> {
        self.feeds.of(self, credential)
    }

    /// Passes a notification that was found out otherwise to all who listen to this server.
    pub(crate) fn announce(&self, notification: &ServerNotification) {
        self.feeds.tell(notification);
    }

    fn http_at(&self, endpoint: HttpEndpoint) -> Arc<HttpUpstream> {
        if let Some(http) = self.resolved.load_full()
            && *http.http().endpoint() == endpoint
        {
            return http;
        }
        let (client, info) = (self.client.clone(), self.info.clone());
        let http = Arc::new(HttpUpstream::new(HttpServer::new(
            self.spec.clone(),
            endpoint,
            client,
            info,
        )));
        self.resolved.store(Some(http.clone()));
        http
    }

    /// The error that says why this server cannot answer.
    pub fn failed(&self, failure: Failure) -> Error {
        Error::NotReady {
            what: "server",
            name: self.spec.name.to_string(),
            failure,
        }
    }

    /// The error that says how this server broke the protocol.
    pub fn protocol_error(&self, problem: impl Into<String>) -> Error {
        self.failed(Failure::new(FailureKind::Protocol, problem))
    }

    pub(crate) fn config(&self) -> &ClientConfig {
        self.client.config()
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
