//! Calls to a stdio server in a pod without a bridge: the API server attaches to its container.
//!
//! An attachment replays nothing, and every client that is attached receives all output. So a server has one owner: in this
//! program an [`AttachChannel`], among several programs the holder of a Lease. When the connection is lost, calls in progress
//! fail, because their responses are lost with it. The server keeps running; the channel attaches again, and repeats the
//! handshake only after the container was restarted.
//!
//! The container needs `stdin: true`, `stdinOnce: false` and no `tty`.

mod attach_loop;
mod frame;
mod lease;
mod pod_run;
mod socket;

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use portolan_core::{
    Channel, ChannelNotification, ChannelRequest, Clock, Exchange, ProtocolEra, Result, ServerHandshake,
    ServerRequestPolicy, SystemClock,
};
use portolan_process::{ProcessLimits, StdioChannel};
use tokio::sync::{broadcast, watch};
use tokio_util::sync::{CancellationToken, DropGuard};

use self::{attach_loop::AttachLoop, lease::LeaseHolder};
pub use self::{lease::Ownership, pod_run::PodRun};

/// A [`Channel`] to the standard input and output of a server in a pod.
///
/// It attaches to the [`PodRun`] that was [set](Self::set_run) last. While there is none, and while it attaches, calls wait
/// within their own timeout. Dropping it detaches; the server keeps running.
pub struct AttachChannel {
    channel: Arc<StdioChannel>,
    runs: watch::Sender<Option<PodRun>>,
    _over: DropGuard,
}

/// Configuration of an [`AttachChannel`].
///
/// ```
/// use std::time::Duration;
/// use portolan_k8s::attach::{AttachConfig, Ownership};
///
/// let config = AttachConfig::default()
///     .with_container("mcp-server")
///     .with_ownership(Ownership::new("mcp-time", "gateway-1"))
///     .with_connect_timeout(Duration::from_secs(5));
/// assert_eq!(config.handshake_timeout, Duration::from_secs(60));
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct AttachConfig {
    /// The name of the cluster in errors. Default: `Kubernetes`.
    pub cluster: String,
    /// The container of the server. Default: the only one of the pod.
    pub container: Option<String>,
    /// The protocol era of the server. Default: detected.
    pub era: ProtocolEra,
    /// The client capabilities that are declared to a legacy server. Default: elicitation.
    pub server_requests: ServerRequestPolicy,
    /// The limits of calls and messages.
    pub limits: ProcessLimits,
    /// The Lease that decides which of several programs owns the server; `None` if no other program attaches to it. Default:
    /// `None`.
    pub ownership: Option<Ownership>,
    /// How long attaching may take. Default: 10 s.
    pub connect_timeout: Duration,
    /// How long the handshake may take. Default: 60 s.
    pub handshake_timeout: Duration,
    /// How long the modern probe may take before the legacy handshake is tried too. Default: 5 s.
    pub probe_patience: Duration,
    /// The interval of pings. Default: 15 s.
    pub ping_interval: Duration,
    /// How long the response to a ping may take. Default: 10 s.
    pub pong_timeout: Duration,
    /// How long the server may leave its input unread before the connection is closed. Default: 60 s.
    pub write_timeout: Duration,
    /// The clock for the times in the Lease. Default: the system clock.
    pub clock: Arc<dyn Clock>,
}

impl Default for AttachConfig {
    fn default() -> Self {
        Self {
            cluster: "Kubernetes".into(),
            container: None,
            era: ProtocolEra::Auto,
            server_requests: ServerRequestPolicy::default(),
            limits: ProcessLimits::default(),
            ownership: None,
            connect_timeout: Duration::from_secs(10),
            handshake_timeout: Duration::from_secs(60),
            probe_patience: Duration::from_secs(5),
            ping_interval: Duration::from_secs(15),
            pong_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(60),
            clock: Arc::new(SystemClock),
        }
    }
}

impl AttachConfig {
    /// Sets [`cluster`](Self::cluster).
    #[must_use]
    pub fn with_cluster(mut self, name: impl Into<String>) -> Self {
        self.cluster = name.into();
        self
    }

    /// Sets [`container`](Self::container).
    #[must_use]
    pub fn with_container(mut self, name: impl Into<String>) -> Self {
        self.container = Some(name.into());
        self
    }

    /// Sets [`era`](Self::era).
    #[must_use]
    pub fn with_era(mut self, era: ProtocolEra) -> Self {
        self.era = era;
        self
    }

    /// Sets [`server_requests`](Self::server_requests).
    #[must_use]
    pub fn with_server_requests(mut self, policy: ServerRequestPolicy) -> Self {
        self.server_requests = policy;
        self
    }

    /// Sets [`limits`](Self::limits).
    #[must_use]
    pub fn with_limits(mut self, limits: ProcessLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Sets [`ownership`](Self::ownership).
    #[must_use]
    pub fn with_ownership(mut self, ownership: Ownership) -> Self {
        self.ownership = Some(ownership);
        self
    }

    /// Sets [`connect_timeout`](Self::connect_timeout).
    #[must_use]
    pub fn with_connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Sets [`handshake_timeout`](Self::handshake_timeout).
    #[must_use]
    pub fn with_handshake_timeout(mut self, timeout: Duration) -> Self {
        self.handshake_timeout = timeout;
        self
    }

    /// Sets [`probe_patience`](Self::probe_patience).
    #[must_use]
    pub fn with_probe_patience(mut self, patience: Duration) -> Self {
        self.probe_patience = patience;
        self
    }

    /// Sets [`ping_interval`](Self::ping_interval) and [`pong_timeout`](Self::pong_timeout).
    #[must_use]
    pub fn with_pings(mut self, interval: Duration, timeout: Duration) -> Self {
        self.ping_interval = interval;
        self.pong_timeout = timeout;
        self
    }

    /// Sets [`write_timeout`](Self::write_timeout).
    #[must_use]
    pub fn with_write_timeout(mut self, timeout: Duration) -> Self {
        self.write_timeout = timeout;
        self
    }

    /// Sets [`clock`](Self::clock).
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }
}

impl AttachChannel {
    /// Creates a channel to a server in `namespace`, without a pod yet; `name` identifies the server in errors.
    ///
    /// The client must have no read timeout, because a server may be silent for long.
    ///
    /// ```no_run
    /// # fn f(client: kube::Client, pod: k8s_openapi::api::core::v1::Pod) {
    /// use portolan_k8s::attach::{AttachChannel, AttachConfig, PodRun};
    ///
    /// let config = AttachConfig::default().with_container("mcp-server");
    /// let channel = AttachChannel::new("time", client, "mcp-servers", config);
    /// channel.set_run(PodRun::of(&pod, "mcp-server"));
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn new(name: &str, client: kube::Client, namespace: &str, config: AttachConfig) -> Arc<Self> {
        let channel = Arc::new(StdioChannel::new(name, &config.limits));
        let (runs, over) = (watch::Sender::new(None), CancellationToken::new());
        let attach_loop = AttachLoop::new(
            channel.clone(),
            client.clone(),
            namespace,
            config.clone(),
            runs.subscribe(),
        );
        let lease_holder = config
            .ownership
            .clone()
            .map(|ownership| LeaseHolder::new(client, namespace, ownership, &config));
        tokio::spawn(attach_loop.run(lease_holder, over.clone()));
        Arc::new(Self {
            channel,
            runs,
            _over: over.drop_guard(),
        })
    }

    /// Sets the run of the server to attach to; `None` while it does not run.
    pub fn set_run(&self, run: Option<PodRun>) {
        self.runs.send_if_modified(|current| {
            let is_new = *current != run;
            *current = run;
            is_new
        });
    }
}

#[async_trait]
impl Channel for AttachChannel {
    async fn handshake(&self) -> Result<ServerHandshake> {
        self.channel.handshake().await
    }

    async fn call(&self, request: ChannelRequest) -> Result<Exchange> {
        self.channel.call(request).await
    }

    fn notifications(&self) -> broadcast::Receiver<ChannelNotification> {
        self.channel.notifications()
    }
}

impl fmt::Debug for AttachChannel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AttachChannel")
            .field("front", &self.channel)
            .field("run", &*self.runs.borrow())
            .finish_non_exhaustive()
    }
}
