//! A `Channel` to a stdio server that outlives its runs.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use portolan_core::{
    Channel, ChannelNotification, ChannelRequest, Error, Exchange, Failure, FailureKind, Result, ServerHandshake,
};
use tokio::{
    sync::{broadcast, watch},
    time::{Instant, timeout_at},
};

use super::dispatcher::{CallError, CallRef, DispatchedCall, RpcDispatcher, stopped};
use crate::ProcessLimits;

/// Longer timeouts are shortened to this, a year.
const MAX_TIMEOUT: Duration = Duration::from_secs(365 * 24 * 3600);

/// A [`Channel`] to a stdio server through all its runs, whose owner sets its state: starting, ready or down.
///
/// While the server starts, calls wait within their own timeout; while it is ready, they go to its
/// [`Connection`](crate::Connection); while it is down, they fail at once. A new channel is starting.
///
/// ```
/// use std::time::Duration;
/// use portolan_core::{Channel, ChannelRequest, Failure, FailureKind};
/// use portolan_process::{ProcessLimits, StdioChannel};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let channel = StdioChannel::new("example", &ProcessLimits::default());
/// channel.down(Failure::new(FailureKind::Image, "the program is not installed"));
/// let refused = channel.call(ChannelRequest::new("tools/list", None, Duration::from_secs(1))).await;
/// assert!(refused.is_err());
/// # }
/// ```
pub struct StdioChannel {
    pub(crate) name: Arc<str>,
    pub(crate) notifications: broadcast::Sender<ChannelNotification>,
    phase: watch::Sender<Phase>,
    waiting: AtomicUsize,
    max_waiting: usize,
}

/// The state of a server, as its callers see it.
#[derive(Clone, Debug)]
pub(crate) enum Phase {
    /// Calls wait.
    Starting(Option<Failure>),
    /// Calls go through.
    Ready(Arc<Ready>),
    /// Calls fail.
    Down(Failure),
}

/// A run that takes calls.
#[derive(Debug)]
pub(crate) struct Ready {
    pub(crate) dispatcher: Arc<RpcDispatcher>,
    /// Its handshake; `None` if it is reached by HTTP.
    pub(crate) handshake: Option<ServerHandshake>,
}

impl StdioChannel {
    /// Returns the channel of a server that is starting, called `name` in errors.
    pub fn new(name: &str, limits: &ProcessLimits) -> Self {
        Self {
            name: name.into(),
            notifications: broadcast::Sender::new(limits.notifications.max(1)),
            phase: watch::Sender::new(Phase::Starting(None)),
            waiting: AtomicUsize::new(0),
            max_waiting: limits.waiting,
        }
    }

    /// Makes calls wait from now on. A call whose timeout passes meanwhile fails with `why`, or as starting.
    pub fn starting(&self, why: Option<Failure>) {
        self.set(Phase::Starting(why));
    }

    /// Fails calls from now on, and those under way.
    pub fn down(&self, failure: Failure) {
        let before = self.phase.send_replace(Phase::Down(failure.clone()));
        if let Phase::Ready(ready) = before {
            ready.dispatcher.close(&failure);
        }
    }

    /// Returns the present state.
    pub(crate) fn phase(&self) -> Phase {
        self.phase.borrow().clone()
    }

    #[cfg(feature = "bridge")]
    pub(crate) fn phases(&self) -> watch::Receiver<Phase> {
        self.phase.subscribe()
    }

    pub(crate) fn set(&self, phase: Phase) {
        self.phase.send_replace(phase);
    }

    pub(crate) fn not_ready(&self, failure: Failure) -> Error {
        Error::NotReady {
            what: "server",
            name: self.name.to_string(),
            failure,
        }
    }

    /// Waits until a run takes calls, at most until `deadline`.
    pub(crate) async fn wait(&self, deadline: Option<Instant>) -> Result<Arc<Ready>> {
        if let Phase::Ready(ready) = &*self.phase.borrow() {
            return Ok(ready.clone());
        }
        let _slot = self.reserve_slot()?;
        let mut phases = self.phase.subscribe();
        loop {
            let why = match &*phases.borrow_and_update() {
                Phase::Ready(ready) => return Ok(ready.clone()),
                Phase::Down(failure) => return Err(self.not_ready(failure.clone())),
                Phase::Starting(failure) => failure.clone(),
            };
            let changed = match deadline {
                Some(deadline) => timeout_at(deadline, phases.changed()).await,
                None => Ok(phases.changed().await),
            };
            // Nothing was sent, so this is no timeout of the call: the caller may retry it.
            if !matches!(changed, Ok(Ok(()))) {
                let failure = why.unwrap_or_else(|| Failure::new(FailureKind::Starting, "it is still starting"));
                return Err(self.not_ready(failure));
            }
        }
    }

    /// Sends a request to the present run, or to the next one if that has just ended.
    pub(crate) async fn dispatch(&self, request: &ChannelRequest) -> Result<DispatchedCall> {
        let deadline = Instant::now() + request.timeout.min(MAX_TIMEOUT);
        let mut ended = None;
        loop {
            let ready = self.wait(Some(deadline)).await?;
            match ready.dispatcher.call(request, deadline) {
                Ok(dispatched) => return Ok(dispatched),
                Err(CallError::Error(error)) => return Err(error),
                // The run ended just now and nothing was sent: the next run takes the call.
                Err(CallError::Closed(failure)) => {
                    if ended.as_ref().is_some_and(|ended| Arc::ptr_eq(ended, &ready)) {
                        return Err(self.not_ready(failure));
                    }
                    ended = Some(ready);
                }
            }
        }
    }

    fn reserve_slot(&self) -> Result<WaitingSlot<'_>> {
        let dispatch = WaitingSlot(&self.waiting);
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= self.max_waiting {
            return Err(Error::Exhausted {
                what: "calls waiting for a server to start",
                limit: self.max_waiting,
            });
        }
        Ok(dispatch)
    }
}

#[async_trait]
impl Channel for StdioChannel {
    async fn handshake(&self) -> Result<ServerHandshake> {
        let ready = self.wait(None).await?;
        let handshake = ready.handshake.clone();
        handshake.ok_or_else(|| self.not_ready(stopped()))
    }

    async fn call(&self, request: ChannelRequest) -> Result<Exchange> {
        let dispatched = self.dispatch(&request).await?;
        Ok(Exchange::new(
            dispatched.events,
            CallRef::cancelled_on_drop(dispatched.handle),
        ))
    }

    fn notifications(&self) -> broadcast::Receiver<ChannelNotification> {
        self.notifications.subscribe()
    }
}

impl fmt::Debug for StdioChannel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StdioChannel")
            .field("name", &self.name)
            .field("phase", &*self.phase.borrow())
            .finish_non_exhaustive()
    }
}

/// One of the bounded slots for calls that wait.
struct WaitingSlot<'a>(&'a AtomicUsize);

impl Drop for WaitingSlot<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
