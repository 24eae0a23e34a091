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
    command_factory::CommandFactory,
    dispatcher::stopped,
    logs::Logs,
    process_group::ProcessGroup,
    process_loop::{Command, ProcessLoop, Transport},
};

/// Told how a server is, and how often it was started again.
pub(crate) type StatusCallback = Box<dyn Fn(Status, u32) + Send + Sync>;

/// Owns one server. Dropping it ends the server's process group at once.
pub(crate) struct Supervisor {
    pub(crate) shared: Arc<Shared>,
    commands: mpsc::Sender<Command>,
    task: AbortHandle,
    over: CancellationToken,
    /// The server that this one takes the place of, while that one is being stopped.
    predecessor: Option<Weak<StdioServer>>,
}

/// How a server stands to another one.
#[derive(Clone, Debug, Default)]
pub(crate) enum StartMode {
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
    pub(crate) channel: StdioChannel,
    pub(crate) config: ProcessConfig,
    pub(crate) group: ProcessGroup,
    pub(crate) logs: Arc<Logs>,
    pub(crate) report: StatusCallback,
    /// How the process ended last.
    exit: Mutex<Option<ExitStatus>>,
}

impl Supervisor {
    /// Starts a server.
    pub(crate) fn start(
        name: &str,
        factory: Box<dyn CommandFactory>,
        speech: Transport,
        config: ProcessConfig,
        report: StatusCallback,
        beginning: StartMode,
    ) -> Self {
        let (logs, predecessor) = match beginning {
            StartMode::Fresh => (Arc::new(Logs::new(&config.limits, config.clock.clone())), None),
            StartMode::After(predecessor) => (predecessor.supervisor.shared.logs.clone(), Some(predecessor)),
            StartMode::Beside(all) => (Arc::new(Logs::child_of(all, &config.limits)), None),
        };
        let shared = Arc::new(Shared {
            channel: StdioChannel::new(name, &config.limits),
            group: ProcessGroup::default(),
            logs,
            report,
            exit: Mutex::default(),
            config,
        });
        (shared.report)(Status::Pending { cause: None }, 0);
        let (commands, receiver) = mpsc::channel(4);
        let over = CancellationToken::new();
        let ending = over.clone().drop_guard();
        let old = predecessor.as_ref().map(Arc::downgrade);
        let task = ProcessLoop::new(shared.clone(), factory, speech, receiver, predecessor);
        let task = tokio::spawn(async move {
            task.run().await;
            drop(ending);
        });
        Self {
            shared,
            commands,
            task: task.abort_handle(),
            over,
            predecessor: old,
        }
    }

    /// Ends the server in order, after calls under way had `drain` to finish. No later call is taken.
    pub(crate) async fn stop(&self, drain: Duration) {
        let ordered = self.commands.send(Command::Stop { drain }).await;
        if ordered.is_ok() {
            self.over.cancelled().await;
        }
    }

    /// Asks for a restart; it is under way when this returns.
    pub(crate) async fn restart(&self, drain: Duration) {
        // If the keeper is gone, so is the server.
        let _ = self.commands.send(Command::Restart { drain }).await;
    }
}

impl Supervisor {
    /// Ends the process group at once, and that of the server before it. Nothing runs any more.
    pub(crate) fn kill(&self) {
        self.task.abort();
        self.shared.group.close();
        self.shared.end();
        if let Some(predecessor) = self.predecessor.as_ref().and_then(Weak::upgrade) {
            predecessor.supervisor.kill();
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
        self.channel.down(stopped());
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
            .field("front", &self.shared.channel)
            .field("pid", &self.shared.group.pid())
            .finish_non_exhaustive()
    }
}
