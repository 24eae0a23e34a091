//! The servers behind the gateway, whichever transport and era they speak.

mod cancel_on_drop;
mod capability_filter;
mod catalogue;
mod channel;
mod client;
mod connection;
mod conversion;
mod eras;
mod events;
mod exclusive;
mod http;
mod in_flight;
mod info;
mod internal_request;
mod json;
mod listener;
mod notifications;
mod session;
mod step;
mod timeout;
mod wake;

use std::sync::Arc;

use self::info::ServerInfoCell;
use self::{
    cancel_on_drop::DisconnectPolicy,
    notifications::{NotificationFeed, NotificationFeeds},
    wake::WakeCoordinator,
};
pub(crate) use self::{
    capability_filter::capability_filter,
    catalogue::{Catalogue, Hints, Listing, Prompt, Prompts, Resources, Templates},
    client::Connector,
    connection::Pool,
    conversion::client_capabilities,
    http::HttpUpstream,
    info::ServerInfo,
    notifications::{
        GetStream, GrantedFilter, ListKind, Listening, NotificationFilter, NotificationSink, ServerNotification,
        StreamEvent, TASK_IDS, answer, ask, strings,
    },
    session::{OpenSession, UpstreamSession},
    step::{
        Events, INPUT_REQUIRED, InputRequired, MOST, ResumeRequest, ServerRequest, ServerRequestKey, Step,
        StreamCheckpoint, TaskCreated, modern_params, request, response, retell,
    },
};
#[cfg(feature = "fuzzing")]
pub(crate) use self::{connection::heard, events::fuzz_events};
use crate::{
    body::Body,
    cancellation::Cancellation,
    config::{GatewayConfig, GatewayLimits},
    intake::{self, Collect},
    server_requests::{ClientCapabilities, UpstreamSessionRef},
    session::Session,
    tasks::TaskIds,
};
use ::http::{HeaderMap, Response};
use bytes::Bytes;
use http_body_util::BodyExt;
use portolan_core::{
    Caller, Channel, Endpoint, GatewayName, ResourceNaming, Result, Runtime, ServerName, ServerSpec, UpstreamCredential,
};
use portolan_wire::{
    era::{Era, ProtocolVersion},
    header::ParamHeader,
    id::RequestId,
    level::LogLevel,
    method::Method,
    object::RawObject,
    sse,
};

/// The link to a server that calls are relayed to.
#[derive(Debug)]
pub(crate) struct UpstreamServer {
    /// The catalogue entry that it was made from.
    pub(crate) server: Arc<ServerSpec>,
    /// What it has.
    catalogue: Catalogue,
    /// What it says of itself.
    info: Arc<ServerInfoCell>,
    feeds: NotificationFeeds,
    place: Address,
    connector: Arc<Connector>,
    /// The HTTP side of a server that a runtime runs, remade when its address changes.
    resolved: arc_swap::ArcSwapOption<HttpUpstream>,
    wake: WakeCoordinator,
}

/// Where a server is.
#[derive(Debug)]
enum Address {
    /// At an address that does not change.
    Fixed(Arc<HttpUpstream>),
    /// Behind an owner of its pipes.
    Channel(Arc<dyn Channel>),
    /// Wherever the runtime says, asked on each call.
    Runtime(Arc<dyn Runtime>, portolan_core::InstallName),
}

/// A request on its way to a server.
#[derive(Clone, Debug)]
pub(crate) struct UpstreamRequest<'a> {
    /// For whom.
    pub(crate) client: Requester<'a>,
    /// The client's id.
    pub(crate) id: RequestId,
    /// The method.
    pub(crate) method: Method,
    /// The params, with names as the server knows them and `_meta` as the client sent it.
    pub(crate) params: RawObject,
    /// The client's own text of the request, when nothing in it was changed.
    pub(crate) unchanged: Option<Bytes>,
    /// What a modern client can do as far as the server is told, where that is less than what its params say.
    pub(crate) declared: Option<Bytes>,
    /// What the server may ask the client.
    pub(crate) asks: ClientCapabilities,
    /// Whether structured content may come that is no object.
    pub(crate) odd_output: bool,
    /// How the client knows the URIs of the server.
    pub(crate) uris: ResourceNaming,
    /// What becomes of the ids of tasks, where the client knows tasks.
    pub(crate) tasks: Option<Arc<TaskIds>>,
    /// Arguments that are repeated in headers.
    pub(crate) mirrored: &'a [ParamHeader],
    /// As whom.
    pub(crate) credential: &'a Arc<UpstreamCredential>,
    /// Headers of the client that are passed on.
    pub(crate) passthrough: HeaderMap,
}

/// The side that asks.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Requester<'a> {
    /// A modern client.
    Modern {
        /// Who it is.
        caller: &'a Caller,
        /// Where it is.
        gateway: &'a GatewayName,
        /// From which level on this request asks for what is logged.
        log: Option<LogLevel>,
    },
    /// A legacy client, in its session.
    Legacy {
        /// The session.
        session: &'a Arc<Session>,
        /// Cancelled when the client says so.
        cancelled: &'a Cancellation,
    },
    /// The gateway itself.
    Gateway,
}

/// What comes back.
#[derive(Debug)]
pub(crate) enum Reply {
    /// One whole JSON-RPC message for the client.
    Message(Bytes),
    /// A JSON-RPC message for the client, as it comes.
    Json(Body),
    /// Events for the client, as they come; the last one is the answer.
    Events(Events),
    /// The same, and nothing in them concerns the gateway any more.
    Stream(Body),
    /// The server has ended the call, and wants it made again with answers of the client.
    InputRequired(InputRequired),
    /// What another replica answers.
    Forwarded(Box<Response<Body>>),
    /// The message for the client, if nothing better can be had: the server has not looked at the request, because its
    /// headers do not repeat the arguments that the server wants them to (-32020).
    HeaderMismatch(Bytes),
    /// The same: the server has not begun the call, because it does it only as a task, and the client was not said to know
    /// tasks (-32021).
    TaskRequired(Bytes),
    /// The call has become a task that the gateway is to drive.
    Task(TaskCreated),
}

impl UpstreamRequest<'_> {
    /// What a server of era `upstream` may ask the client. A modern client is answered at once, so that a call in which a
    /// legacy server asks something has to be kept; where nothing may be kept, nothing may be asked.
    fn asks_at(&self, upstream: Era, limits: &GatewayLimits) -> ClientCapabilities {
        match (&self.client, upstream) {
            (Requester::Modern { .. }, Era::Legacy) if limits.suspended == 0 => ClientCapabilities::NONE,
            _ => self.asks,
        }
    }
}

impl Requester<'_> {
    fn era(&self) -> Option<Era> {
        match self {
            Self::Modern { .. } => Some(Era::Modern),
            Self::Legacy { .. } => Some(Era::Legacy),
            Self::Gateway => None,
        }
    }

    fn version(&self) -> Option<ProtocolVersion> {
        match self {
            Self::Legacy { session, .. } => Some(session.version),
            _ => None,
        }
    }

    fn cancelled(&self) -> Option<&Cancellation> {
        match self {
            Self::Legacy { cancelled, .. } => Some(cancelled),
            _ => None,
        }
    }

    /// The conversation that this call belongs to, and who answers questions in it: the same text for the same one, and for
    /// no other.
    fn conversation(&self) -> Option<Arc<str>> {
        match self {
            Self::Modern { caller, gateway, .. } => Some(format!("caller\n{gateway}\n{}", caller.subject).into()),
            Self::Legacy { session, .. } => Some(session.conversation().into()),
            Self::Gateway => None,
        }
    }

    /// From which level on it wants to be told what is logged, if it has said so.
    pub(crate) fn level(&self) -> Option<LogLevel> {
        match self {
            Self::Modern { log, .. } => *log,
            Self::Legacy { session, .. } => session.level(),
            Self::Gateway => None,
        }
    }

    /// Whether a session that logs from the level `set` on is right for it. A session of its own logs exactly what it
    /// wants; one that is shared at least that.
    fn is_heard_from(&self, level: LogLevel, set: u8) -> bool {
        match self {
            Self::Legacy { .. } => set == level.number(),
            _ => set != 0 && set <= level.number(),
        }
    }

    /// What it means that the client's connection ends: 2026-07-28 reads it as a cancellation, older versions do not
    /// (basic/cancellation).
    fn on_disconnect(&self) -> DisconnectPolicy {
        match self {
            Self::Legacy { cancelled, .. } => DisconnectPolicy::CancelsIf((*cancelled).clone()),
            _ => DisconnectPolicy::Cancels,
        }
    }
}

impl UpstreamServer {
    /// A server at a URL.
    pub(crate) fn remote(
        server: Arc<ServerSpec>,
        endpoint: portolan_core::HttpEndpoint,
        connector: Arc<Connector>,
    ) -> Self {
        let info = Arc::<ServerInfoCell>::default();
        let http = HttpUpstream::new(server.clone(), endpoint, connector.clone(), info.clone());
        let mut link = Self::at(server, Address::Fixed(Arc::new(http)), connector);
        link.info = info;
        link
    }

    /// A server that a runtime runs.
    pub(crate) fn running(
        server: Arc<ServerSpec>,
        install: portolan_core::InstallName,
        runtime: Arc<dyn Runtime>,
        connector: Arc<Connector>,
    ) -> Self {
        Self::at(server, Address::Runtime(runtime, install), connector)
    }

    /// A server at an endpoint.
    pub(crate) fn endpoint(server: Arc<ServerSpec>, endpoint: Endpoint, connector: Arc<Connector>) -> Result<Self> {
        match endpoint {
            Endpoint::Http(endpoint) => Ok(Self::remote(server, endpoint, connector)),
            Endpoint::Channel(channel) => Ok(Self::at(server, Address::Channel(channel), connector)),
            _ => Err(unknown_endpoint(&server.name)),
        }
    }

    fn at(server: Arc<ServerSpec>, place: Address, connector: Arc<Connector>) -> Self {
        Self {
            server,
            catalogue: Catalogue::default(),
            info: Arc::default(),
            feeds: NotificationFeeds::default(),
            place,
            connector,
            resolved: None.into(),
            wake: WakeCoordinator::default(),
        }
    }

    /// Sends a request and gives what comes back, in the client's era.
    pub(crate) async fn call(&self, outgoing: &UpstreamRequest<'_>) -> Result<Reply> {
        match &self.place {
            Address::Fixed(http) => http.call(outgoing).await,
            Address::Channel(channel) => Box::pin(channel::call(self, channel, outgoing)).await,
            Address::Runtime(runtime, install) => match self.running_at(runtime, install, &outgoing.client).await? {
                Endpoint::Http(endpoint) => self.resolved(endpoint).call(outgoing).await,
                Endpoint::Channel(channel) => Box::pin(channel::call(self, &channel, outgoing)).await,
                _ => Err(unknown_endpoint(&self.server.name)),
            },
        }
    }

    /// Where a runtime has this server. Clients' calls wake it; what the gateway asks for itself does not.
    async fn running_at(
        &self,
        runtime: &Arc<dyn Runtime>,
        install: &portolan_core::InstallName,
        client: &Requester<'_>,
    ) -> Result<Endpoint> {
        let at = runtime.endpoint(install).await;
        if at.is_ok() || matches!(client, Requester::Gateway) {
            return at;
        }
        let budget = self.config().timeouts.wake;
        Box::pin(self.wake.endpoint(runtime, install, budget)).await
    }

    /// What the server said of itself; nothing before it was first asked for something.
    pub(crate) fn info(&self) -> Option<Arc<ServerInfo>> {
        self.info.get()
    }

    /// Has the server introduce itself, unless it has.
    async fn introduce(&self, credential: &Arc<UpstreamCredential>) -> Result<()> {
        if self.info.get().is_some() {
            return Ok(());
        }
        match &self.place {
            Address::Fixed(http) => http.introduce(credential).await,
            Address::Channel(channel) => self.handshake(channel).await,
            Address::Runtime(runtime, install) => match runtime.endpoint(install).await? {
                Endpoint::Http(endpoint) => self.resolved(endpoint).introduce(credential).await,
                Endpoint::Channel(channel) => self.handshake(&channel).await,
                _ => Err(unknown_endpoint(&self.server.name)),
            },
        }
    }

    async fn handshake(&self, channel: &Arc<dyn Channel>) -> Result<()> {
        self.info.learn_handshake(&channel.handshake().await?);
        Ok(())
    }

    /// Brings a message to a server at a URL, in a session that may have been opened by another replica.
    pub(crate) async fn tell(
        &self,
        session_ref: &UpstreamSessionRef,
        credential: &UpstreamCredential,
        text: Bytes,
    ) -> Result<()> {
        match self.http().await? {
            Some(http) => http.tell_seat(session_ref, credential, text).await,
            None => Ok(()),
        }
    }

    /// Goes on with a call whose stream was left, perhaps by another replica. `None` if its server has no such streams.
    pub(crate) async fn resume(&self, left: &StreamCheckpoint, request: ResumeRequest<'_>) -> Result<Option<Reply>> {
        match self.http().await? {
            Some(http) => http.resume(left, request).await.map(Some),
            None => Ok(None),
        }
    }

    /// Its HTTP side, if it has one.
    async fn http(&self) -> Result<Option<Arc<HttpUpstream>>> {
        Ok(match &self.place {
            Address::Fixed(http) => Some(http.clone()),
            Address::Runtime(runtime, install) => match runtime.endpoint(install).await? {
                Endpoint::Http(endpoint) => Some(self.resolved(endpoint)),
                _ => None,
            },
            Address::Channel(_) => None,
        })
    }

    /// What the server says outside of calls, to who is sent with `credential`.
    pub(crate) fn changes(self: &Arc<Self>, credential: &Arc<UpstreamCredential>) -> Arc<NotificationFeed> {
        self.feeds.of(self, credential)
    }

    /// Tells all who listen to this server of a change that was found otherwise.
    pub(crate) fn announce(&self, change: &ServerNotification) {
        self.feeds.tell(change);
    }

    fn resolved(&self, endpoint: portolan_core::HttpEndpoint) -> Arc<HttpUpstream> {
        if let Some(http) = self.resolved.load_full()
            && *http.endpoint() == endpoint
        {
            return http;
        }
        let (connector, info) = (self.connector.clone(), self.info.clone());
        let http = Arc::new(HttpUpstream::new(self.server.clone(), endpoint, connector, info));
        self.resolved.store(Some(http.clone()));
        http
    }

    /// Why this server cannot answer, as the gateway tells it.
    pub(crate) fn failed(&self, failure: portolan_core::Failure) -> portolan_core::Error {
        portolan_core::Error::NotReady {
            what: "server",
            name: self.server.name.to_string(),
            failure,
        }
    }

    fn config(&self) -> &GatewayConfig {
        &self.connector.config
    }
}

/// The newest legacy version that both a client and a server can speak.
fn legacy_version(wanted: Option<ProtocolVersion>, offered: &[ProtocolVersion]) -> ProtocolVersion {
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

fn unknown_endpoint(server: &ServerName) -> portolan_core::Error {
    let failure = portolan_core::Failure::new(
        portolan_core::FailureKind::Config,
        "its runtime gives an endpoint of a kind that this gateway does not know",
    );
    portolan_core::Error::NotReady {
        what: "server",
        name: server.to_string(),
        failure,
    }
}

impl Reply {
    /// The one message that answers, whole. A call that was cancelled has none.
    pub(crate) async fn into_message(self, limit: usize) -> Result<Option<Bytes>, Collect> {
        match self {
            Self::Message(message) | Self::HeaderMismatch(message) | Self::TaskRequired(message) => Ok(Some(message)),
            Self::Json(body) => intake::collect(body, limit).await.map(Some),
            Self::Events(events) => last_answer(Body::relayed(events), limit).await,
            Self::Stream(body) => last_answer(body, limit).await,
            Self::Forwarded(response) => last_answer(response.into_body(), limit).await,
            // The gateway has nobody to ask, and makes no tasks for itself.
            Self::InputRequired(_) | Self::Task(_) => Ok(None),
        }
    }
}

async fn last_answer(mut body: Body, limit: usize) -> Result<Option<Bytes>, Collect> {
    let mut decoder = sse::Decoder::new(limit);
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame.map_err(|_| Collect::Broken)?.into_data() {
            decoder.push(data);
        }
        while let Some(event) = decoder.next_event().map_err(|_| Collect::TooLarge)? {
            if events::outcome(&event.data).is_some() {
                return Ok(Some(event.data));
            }
        }
    }
    Ok(None)
}
