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
    dispatcher::{CallError, Handle, Mailbox, Placed, stopped},
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
    most_waiting: usize,
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
    pub(crate) mailbox: Arc<Mailbox>,
    /// How it introduced itself, where it is spoken to by stdio.
    pub(crate) hello: Option<ServerHandshake>,
}

impl StdioChannel {
    /// The front of a server that is starting, called `name` in errors.
    pub fn new(name: &str, limits: &ProcessLimits) -> Self {
        Self {
            name: name.into(),
            notifications: broadcast::Sender::new(limits.notifications.max(1)),
            phase: watch::Sender::new(Phase::Starting(None)),
            waiting: AtomicUsize::new(0),
            most_waiting: limits.waiting,
        }
    }

    /// From now on calls wait. If their time is over before they need no longer, they fail with `why`.
    pub fn starting(&self, why: Option<Failure>) {
        self.set(Phase::Starting(why));
    }

    /// From now on calls go through `connection`, to a server that introduced itself with `hello`.
    pub fn ready(&self, connection: &Connection, hello: ServerHandshake) {
        self.set(Phase::Ready(Arc::new(Ready {
            mailbox: connection.mailbox().clone(),
            hello: Some(hello),
        })));
    }

    /// From now on calls fail, and so do those under way.
    pub fn down(&self, failure: Failure) {
        let before = self.phase.send_replace(Phase::Down(failure.clone()));
        if let Phase::Ready(ready) = before {
            ready.mailbox.close(&failure);
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
        let _place = self.take_place()?;
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
    pub(crate) async fn place(&self, request: &ChannelRequest) -> Result<Placed> {
        let deadline = Instant::now() + request.timeout.min(LONGEST);
        let mut ended = None;
        loop {
            let ready = self.wait(Some(deadline)).await?;
            match ready.mailbox.call(request, deadline) {
                Ok(placed) => return Ok(placed),
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

    fn take_place(&self) -> Result<Place<'_>> {
        let place = Place(&self.waiting);
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= self.most_waiting {
            return Err(Error::Exhausted {
                what: "calls waiting for a server to start",
                limit: self.most_waiting,
            });
        }
        Ok(place)
    }
}

#[async_trait]
impl Channel for StdioChannel {
    async fn handshake(&self) -> Result<ServerHandshake> {
        let ready = self.wait(None).await?;
        let hello = ready.hello.clone();
        hello.ok_or_else(|| self.not_ready(stopped()))
    }

    async fn call(&self, request: ChannelRequest) -> Result<Exchange> {
        let placed = self.place(&request).await?;
        Ok(Exchange::new(placed.events, Handle::cancelled_on_drop(placed.handle)))
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
struct Place<'a>(&'a AtomicUsize);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
