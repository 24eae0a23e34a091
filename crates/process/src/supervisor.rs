//! Owns one server through all its runs.

use std::{
    fmt,
    sync::{
        Arc, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use portolan_core::{Cause, ChannelNotification, Error, Failure, Hello, Result, Status};
use tokio::{
    sync::{broadcast, mpsc, watch},
    task::AbortHandle,
    time::{Instant, timeout_at},
};
use tokio_util::sync::CancellationToken;

use crate::{
    ProcessConfig, StdioServer,
    keeper::{Keeper, Order, Speech},
    leash::Leash,
    logs::Logs,
    mailbox::{Mailbox, stopped},
    recipe::Recipe,
};

/// Told how a server is, and how often it was started again.
pub(crate) type Report = Box<dyn Fn(Status, u32) + Send + Sync>;

/// Owns one server. Dropping it ends the server's process group at once.
pub(crate) struct Supervisor {
    pub(crate) shared: Arc<Shared>,
    orders: mpsc::Sender<Order>,
    keeper: AbortHandle,
    over: CancellationToken,
    /// The server that this one takes the place of, while that one is being stopped.
    before: Option<Weak<StdioServer>>,
}

/// What the keeper of a server and its callers share.
pub(crate) struct Shared {
    pub(crate) name: Arc<str>,
    pub(crate) config: ProcessConfig,
    pub(crate) leash: Leash,
    pub(crate) logs: Arc<Logs>,
    pub(crate) notifications: broadcast::Sender<ChannelNotification>,
    pub(crate) report: Report,
    phase: watch::Sender<Phase>,
    waiting: AtomicUsize,
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
    pub(crate) hello: Option<Hello>,
}

impl Supervisor {
    /// Starts a server, after `before` has ended.
    pub(crate) fn start(
        name: &str,
        recipe: Box<dyn Recipe>,
        speech: Speech,
        config: ProcessConfig,
        report: Report,
        before: Option<Arc<StdioServer>>,
    ) -> Self {
        let logs = match &before {
            Some(before) => before.supervisor.shared.logs.clone(),
            None => Arc::new(Logs::new(&config.limits, config.clock.clone())),
        };
        let shared = Arc::new(Shared {
            name: name.into(),
            leash: Leash::default(),
            logs,
            notifications: broadcast::Sender::new(config.limits.notifications.max(1)),
            report,
            phase: watch::Sender::new(Phase::Starting(None)),
            waiting: AtomicUsize::new(0),
            config,
        });
        (shared.report)(Status::Pending { cause: None }, 0);
        let (orders, receiver) = mpsc::channel(4);
        let over = CancellationToken::new();
        let ending = over.clone().drop_guard();
        let old = before.as_ref().map(Arc::downgrade);
        let keeper = Keeper::new(shared.clone(), recipe, speech, receiver, before);
        let keeper = tokio::spawn(async move {
            keeper.keep().await;
            drop(ending);
        });
        Self {
            shared,
            orders,
            keeper: keeper.abort_handle(),
            over,
            before: old,
        }
    }

    /// Ends the server in order, after calls under way had `drain` to finish. No later call is taken.
    pub(crate) async fn stop(&self, drain: Duration) {
        let ordered = self.orders.send(Order::Stop { drain }).await;
        if ordered.is_ok() {
            self.over.cancelled().await;
        }
    }

    /// Asks for a restart; it is under way when this returns.
    pub(crate) async fn restart(&self, drain: Duration) {
        // If the keeper is gone, so is the server.
        let _ = self.orders.send(Order::Restart { drain }).await;
    }
}

impl Supervisor {
    /// Ends the process group at once, and that of the server before it. Nothing runs any more.
    pub(crate) fn kill(&self) {
        self.keeper.abort();
        self.shared.leash.close();
        self.shared.end();
        if let Some(before) = self.before.as_ref().and_then(Weak::upgrade) {
            before.supervisor.kill();
        }
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Shared {
    /// The run that can be called now, waiting for it until `deadline`.
    pub(crate) async fn ready(&self, deadline: Option<Instant>) -> Result<Arc<Ready>> {
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
                let failure = why.unwrap_or_else(|| Failure::new(Cause::Starting, "it is still starting"));
                return Err(self.not_ready(failure));
            }
        }
    }

    /// Whether it can be called now; if not, why.
    pub(crate) fn phase(&self) -> Phase {
        self.phase.borrow().clone()
    }

    pub(crate) fn set(&self, phase: Phase) {
        self.phase.send_replace(phase);
    }

    /// Nothing runs any more, and nothing will.
    pub(crate) fn end(&self) {
        let before = self.phase.send_replace(Phase::Down(stopped()));
        if let Phase::Ready(ready) = before {
            ready.mailbox.close(&stopped());
        }
    }

    pub(crate) fn not_ready(&self, failure: Failure) -> Error {
        Error::NotReady {
            what: "server",
            name: self.name.to_string(),
            failure,
        }
    }

    fn take_place(&self) -> Result<Place<'_>> {
        let limit = self.config.limits.waiting;
        let place = Place(&self.waiting);
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= limit {
            return Err(Error::Exhausted {
                what: "calls waiting for a server to start",
                limit,
            });
        }
        Ok(place)
    }
}

/// One of the bounded places for those who wait.
struct Place<'a>(&'a AtomicUsize);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl fmt::Debug for Supervisor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Supervisor")
            .field("name", &self.shared.name)
            .field("pid", &self.shared.leash.pid())
            .field("phase", &*self.shared.phase.borrow())
            .finish_non_exhaustive()
    }
}
