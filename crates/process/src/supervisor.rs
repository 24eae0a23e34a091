//! Owns one server through all its runs.

use std::{
    fmt,
    process::ExitStatus,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use portolan_core::Status;
use tokio::{sync::mpsc, task::AbortHandle};
use tokio_util::sync::CancellationToken;

use crate::{
    ProcessConfig, StdioChannel, StdioServer,
    command_factory::Recipe,
    dispatcher::stopped,
    logs::Logs,
    process_group::Leash,
    process_loop::{Keeper, Order, Speech},
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

/// How a server stands to another one.
#[derive(Clone, Debug, Default)]
pub(crate) enum Beginning {
    /// There is none.
    #[default]
    Fresh,
    /// It takes the place of that one, after it has ended.
    After(Arc<StdioServer>),
    /// It is one more process of what users see as that server.
    Beside(Arc<Logs>),
}

/// What the keeper of a server and its callers share.
pub(crate) struct Shared {
    pub(crate) front: StdioChannel,
    pub(crate) config: ProcessConfig,
    pub(crate) leash: Leash,
    pub(crate) logs: Arc<Logs>,
    pub(crate) report: Report,
    /// How the process ended last.
    exit: Mutex<Option<ExitStatus>>,
}

impl Supervisor {
    /// Starts a server.
    pub(crate) fn start(
        name: &str,
        recipe: Box<dyn Recipe>,
        speech: Speech,
        config: ProcessConfig,
        report: Report,
        beginning: Beginning,
    ) -> Self {
        let (logs, before) = match beginning {
            Beginning::Fresh => (Arc::new(Logs::new(&config.limits, config.clock.clone())), None),
            Beginning::After(before) => (before.supervisor.shared.logs.clone(), Some(before)),
            Beginning::Beside(all) => (Arc::new(Logs::within(all, &config.limits)), None),
        };
        let shared = Arc::new(Shared {
            front: StdioChannel::new(name, &config.limits),
            leash: Leash::default(),
            logs,
            report,
            exit: Mutex::default(),
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
    /// Nothing runs any more, and nothing will.
    pub(crate) fn end(&self) {
        self.front.down(stopped());
    }

    /// How the process ended last, if it ever did.
    #[cfg(feature = "bridge")]
    pub(crate) fn exit(&self) -> Option<ExitStatus> {
        *self.exit.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn exited(&self, status: Option<ExitStatus>) {
        *self.exit.lock().unwrap_or_else(PoisonError::into_inner) = status;
    }
}

impl fmt::Debug for Supervisor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Supervisor")
            .field("front", &self.shared.front)
            .field("pid", &self.shared.leash.pid())
            .finish_non_exhaustive()
    }
}
