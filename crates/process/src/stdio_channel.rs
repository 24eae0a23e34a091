//! Where calls to a stdio server are taken, through all its runs.

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

use crate::{
    Connection, ProcessLimits,
    dispatcher::{CallError, CallRef, DispatchedCall, RpcDispatcher, stopped},
};

/// Longer deadlines are cut to this: a year.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

/// Where calls to a stdio server are taken, through all its runs: a [`Channel`] of which somebody else says what becomes
/// of calls now.
///
/// While the server starts, calls wait within their own timeout; while it is ready, they go to its [`Connection`]; while
/// it is down, they fail at once. It begins as starting.
pub struct StdioChannel {
    pub(crate) name: Arc<str>,
    pub(crate) notifications: broadcast::Sender<ChannelNotification>,
    phase: watch::Sender<Phase>,
    waiting: AtomicUsize,
    max_waiting: usize,
}

/// How a server is, for its callers.
#[derive(Clone, Debug)]
pub(crate) enum Phase {
    /// Calls wait.
    Starting(Option<Failure>),
    /// Calls go through.
    Ready(Arc<Ready>),
    /// Calls fail.
    Down(Failure),
}

/// A run that can be called.
#[derive(Debug)]
pub(crate) struct Ready {
    pub(crate) dispatcher: Arc<RpcDispatcher>,
    /// How it introduced itself, where it is spoken to by stdio.
    pub(crate) handshake: Option<ServerHandshake>,
}

impl StdioChannel {
    /// The front of a server that is starting, called `name` in errors.
    pub fn new(name: &str, limits: &ProcessLimits) -> Self {
        Self {
            name: name.into(),
            notifications: broadcast::Sender::new(limits.notifications.max(1)),
            phase: watch::Sender::new(Phase::Starting(None)),
            waiting: AtomicUsize::new(0),
            max_waiting: limits.waiting,
        }
    }

    /// From now on calls wait. If their time is over before they need no longer, they fail with `why`.
    pub fn starting(&self, why: Option<Failure>) {
        self.set(Phase::Starting(why));
    }

    /// From now on calls go through `connection`, to a server that introduced itself with `handshake`.
    pub fn ready(&self, connection: &Connection, handshake: ServerHandshake) {
        self.set(Phase::Ready(Arc::new(Ready {
            dispatcher: connection.dispatcher().clone(),
            handshake: Some(handshake),
        })));
    }

    /// From now on calls fail, and so do those under way.
    pub fn down(&self, failure: Failure) {
        let before = self.phase.send_replace(Phase::Down(failure.clone()));
        if let Phase::Ready(ready) = before {
            ready.dispatcher.close(&failure);
        }
    }

    /// Whether it can be called now; if not, why.
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

    /// The run that can be called now, waiting for it until `deadline`.
    pub(crate) async fn wait(&self, deadline: Option<Instant>) -> Result<Arc<Ready>> {
        if let Phase::Ready(ready) = &*self.phase.borrow() {
            return Ok(ready.clone());
        }
        let _place = self.reserve_slot()?;
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
            // Nothing was sent, so this is no timeout of the call: it may be made again.
            if !matches!(changed, Ok(Ok(()))) {
                let failure = why.unwrap_or_else(|| Failure::new(FailureKind::Starting, "it is still starting"));
                return Err(self.not_ready(failure));
            }
        }
    }

    /// Sends a request to the run that can be called.
    pub(crate) async fn dispatch(&self, request: &ChannelRequest) -> Result<DispatchedCall> {
        let deadline = Instant::now() + request.timeout.min(LONGEST);
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
        f.debug_struct("Front")
            .field("name", &self.name)
            .field("phase", &*self.phase.borrow())
            .finish_non_exhaustive()
    }
}

/// One of the bounded places for those who wait.
struct WaitingSlot<'a>(&'a AtomicUsize);

impl Drop for WaitingSlot<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
