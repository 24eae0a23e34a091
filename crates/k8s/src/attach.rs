//! A stdio server in a pod that nothing may be added to: spoken with through the API server, attached to its container.
//!
//! Attaching replays nothing, and everybody who is attached hears all that the server writes. So a server has one owner:
//! in this program an [`AttachChannel`], among several programs the one that holds a Lease. When the connection is lost,
//! calls under way fail, for their answers are lost with it; the server lives on, is attached to again, and is not
//! shaken hands with again until its container is started again.
//!
//! Its container has to have `stdin: true` and `stdinOnce: false`, and no `tty`.

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

/// The one owner of the standard streams of a server in a pod.
///
/// It is attached to the [`PodRun`] that it was [aimed](Self::aim) at last. While there is none, and while it attaches,
/// calls wait within their own timeout. Dropping it detaches; the server goes on.
pub struct AttachChannel {
    channel: Arc<StdioChannel>,
    runs: watch::Sender<Option<PodRun>>,
    _over: DropGuard,
}

/// What may be decided about an [`AttachChannel`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct AttachConfig {
    /// The cluster, as errors name it. Default: `Kubernetes`.
    pub cluster: String,
    /// The container that the server runs in. Default: the only one of the pod.
    pub container: Option<String>,
    /// Which era it speaks. Default: found out.
    pub era: ProtocolEra,
    /// What a legacy server is told that it may ask.
    pub server_requests: ServerRequestPolicy,
    /// The bounds.
    pub limits: ProcessLimits,
    /// Which of several programs owns the server. `None` if no other is attached to it. Default: `None`.
    pub ownership: Option<Ownership>,
    /// How long attaching may take. Default: 10 s.
    pub connect: Duration,
    /// How long the server may take to introduce itself once it is attached to. Default: 60 s.
    pub introduction: Duration,
    /// How long the modern probe stays alone before the legacy handshake is tried beside it. Default: 5 s.
    pub probe_patience: Duration,
    /// How often the other side is asked whether it is there. Default: 15 s.
    pub ping: Duration,
    /// How long it may take to say so. Default: 10 s.
    pub pong: Duration,
    /// How long the server may leave its input unread before it is given up. Default: 60 s.
    pub stall: Duration,
    /// What is compared with the times in the Lease.
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
            connect: Duration::from_secs(10),
            introduction: Duration::from_secs(60),
            probe_patience: Duration::from_secs(5),
            ping: Duration::from_secs(15),
            pong: Duration::from_secs(10),
            stall: Duration::from_secs(60),
            clock: Arc::new(SystemClock),
        }
    }
}

impl AttachChannel {
    /// A channel to a server called `name` in errors, whose pod is in `namespace` and is still to be named.
    ///
    /// The client must have no read timeout: a server may be silent for long.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn new(name: &str, client: kube::Client, namespace: &str, config: AttachConfig) -> Arc<Self> {
        let channel = Arc::new(StdioChannel::new(name, &config.limits));
        let (runs, over) = (watch::Sender::new(None), CancellationToken::new());
        let keeper = AttachLoop::new(
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
        tokio::spawn(keeper.keep(lease_holder, over.clone()));
        Arc::new(Self {
            channel,
            runs,
            _over: over.drop_guard(),
        })
    }

    /// Says where the server runs now; `None` while it does not.
    pub fn set_run(&self, run: Option<PodRun>) {
        self.runs.send_if_modified(|present| {
            let is_new = *present != run;
            *present = run;
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
