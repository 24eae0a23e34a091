//! The connection to a server of any transport and era.

mod wake;

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use portolan_core::{
    Channel, Endpoint, Error, Failure, FailureKind, HttpEndpoint, InstallName, Result, Runtime, ServerName, ServerSpec,
    Sharing, UpstreamCredential,
};
use portolan_wire::{envelope::Outcome, era::Era};

use self::wake::WakeCoordinator;
use crate::{
    calls::{
        reply::Reply,
        stdio::ChannelServer,
        steps::{ResumeRequest, StreamCheckpoint},
        streamable_http::HttpUpstream,
    },
    client::Client,
    collect,
    config::ClientConfig,
    conversion::{Conversion, Converted},
    http_server::HttpServer,
    reachability::Reachability,
    request::{Requester, UpstreamRequest},
    server_info::{ServerInfo, ServerInfoCell},
    server_notifications::ChangeSinkCell,
    session_ref::UpstreamSessionRef,
};

/// A server and its present address.
#[derive(Debug)]
pub(crate) struct ServerConnection {
    spec: Arc<ServerSpec>,
    info: Arc<ServerInfoCell>,
    changes: Arc<ChangeSinkCell>,
    address: Address,
    client: Client,
    /// The HTTP side of a server that a runtime runs, replaced when its address changes.
    resolved: ArcSwapOption<HttpUpstream>,
    wake: WakeCoordinator,
    reachability: Reachability,
}

/// The configured address of a server.
#[derive(Debug)]
pub(crate) enum Address {
    /// An address that does not change.
    Fixed(Arc<HttpUpstream>),
    /// A channel.
    Channel(Arc<dyn Channel>),
    /// The address that the runtime returns, asked for on each call.
    Runtime(Arc<dyn Runtime>, InstallName),
}

/// The present address of a server.
pub(crate) enum Route {
    Http(Arc<HttpUpstream>),
    Channel(Arc<dyn Channel>),
}

impl ServerConnection {
    /// Returns the server of `spec` at an HTTP endpoint.
    pub(crate) fn remote(client: &Client, spec: Arc<ServerSpec>, endpoint: HttpEndpoint) -> Self {
        let (info, changes) = (Arc::<ServerInfoCell>::default(), Arc::<ChangeSinkCell>::default());
        let http = HttpServer::new(spec.clone(), endpoint, client.clone(), info.clone(), changes.clone());
        let address = Address::Fixed(Arc::new(HttpUpstream::new(http)));
        Self {
            info,
            changes,
            ..Self::new(client, spec, address)
        }
    }

    pub(crate) fn new(client: &Client, spec: Arc<ServerSpec>, address: Address) -> Self {
        Self {
            spec,
            info: Arc::default(),
            changes: Arc::default(),
            address,
            client: client.clone(),
            resolved: None.into(),
            wake: WakeCoordinator::default(),
            reachability: Reachability::default(),
        }
    }

    pub(crate) fn spec(&self) -> &Arc<ServerSpec> {
        &self.spec
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// Returns the cell of what takes the changes that the server announces on the streams of requests.
    pub(crate) fn changes(&self) -> &ChangeSinkCell {
        &self.changes
    }

    pub(crate) fn config(&self) -> &ClientConfig {
        self.client.config()
    }

    /// Sends a request and returns the reply in the requester's era.
    pub(crate) async fn call(&self, request: &UpstreamRequest<'_>) -> Result<Reply> {
        // Internal requests do not wake a server.
        let wakes = !matches!(request.requester, Requester::Internal);
        let reply = match self.route(wakes).await {
            Err(error) => Err(error),
            Ok(Route::Http(http)) => http.call(request).await,
            Ok(Route::Channel(channel)) => {
                let server = ChannelServer {
                    spec: &self.spec,
                    client: &self.client,
                    info: &self.info,
                    channel: &channel,
                };
                Box::pin(server.call(request)).await
            }
        };
        let hook = self.config().on_reachability_change.as_ref();
        self.reachability.note(&self.spec.name, &reply, hook);
        reply
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
    pub(crate) fn info(&self) -> Option<Arc<ServerInfo>> {
        self.info.get()
    }

    /// Asks the server for information about itself, unless it is known.
    pub(crate) async fn introduce(&self, credential: &Arc<UpstreamCredential>) -> Result<()> {
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
    pub(crate) async fn notify(
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

    /// Resumes a call whose stream was left, perhaps by another replica. Returns `None` if the server has no such streams.
    pub(crate) async fn resume(
        &self,
        checkpoint: &StreamCheckpoint,
        request: ResumeRequest<'_>,
    ) -> Result<Option<Reply>> {
        match self.route(false).await? {
            Route::Http(http) => http.resume(checkpoint, request).await.map(Some),
            Route::Channel(_) => Ok(None),
        }
    }

    /// Returns `true` if the server is known to be reached by HTTP now.
    pub(crate) fn is_at_url(&self) -> bool {
        match &self.address {
            Address::Fixed(_) => true,
            Address::Channel(_) => false,
            Address::Runtime(..) => self.resolved.load().is_some(),
        }
    }

    /// Returns `true` if the server is always reached by HTTP.
    pub(crate) fn is_at_fixed_url(&self) -> bool {
        matches!(self.address, Address::Fixed(_))
    }

    /// Returns `true` if a later request finds a task of this server: in its session at a URL, or in the one process that
    /// all callers share.
    pub(crate) fn finds_tasks(&self) -> bool {
        self.is_at_url() || self.spec.sharing == Sharing::Shared
    }

    /// Sends a request of the relay itself, and returns the whole outcome, within the handshake deadline.
    pub(crate) async fn internal_request(&self, request: &UpstreamRequest<'_>) -> Result<Outcome> {
        let after = self.config().timeouts.handshake;
        let asking = async {
            let reply = self.call(request).await?;
            let message = reply.into_message(self.config().limits.held_bytes).await;
            let outcome = message.ok().flatten().as_ref().and_then(collect::outcome);
            outcome.ok_or_else(|| self.protocol_error(format!("its response to {} broke off", request.method)))
        };
        match tokio::time::timeout(after, Box::pin(asking)).await {
            Ok(answered) => answered,
            Err(_) => Err(Error::Timeout {
                action: format!(
                    "the response of server {:?} to {}",
                    self.spec.name.as_str(),
                    request.method
                ),
                after,
            }),
        }
    }

    /// Converts the outcome of a task, which a modern server gave in response to another request, for the client of
    /// `request`.
    pub(crate) fn told(&self, request: &UpstreamRequest<'_>, outcome: &Outcome) -> Result<Bytes> {
        let conversion = Conversion::new(request, Era::Modern, request.id.clone(), &self.spec);
        match conversion.message(outcome) {
            Converted::Message(message) => Ok(message),
            _ => Err(conversion.protocol_error("its task ended with a result that is not valid")),
        }
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
            self.changes.clone(),
        )));
        self.resolved.store(Some(http.clone()));
        http
    }

    /// Returns an [`Error::NotReady`] of this server.
    pub(crate) fn failed(&self, failure: Failure) -> Error {
        Error::NotReady {
            what: "server",
            name: self.spec.name.to_string(),
            failure,
        }
    }

    /// Returns an [`Error::NotReady`] of kind [`FailureKind::Protocol`].
    pub(crate) fn protocol_error(&self, problem: impl Into<String>) -> Error {
        self.failed(Failure::new(FailureKind::Protocol, problem))
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
