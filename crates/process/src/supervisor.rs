//! Owns one server through all its runs.

mod events;
mod launch;
mod process_group;
mod process_loop;
mod server_process;
mod shared;
mod workdir;

use std::{
    fmt,
    sync::{Arc, Weak},
    time::Duration,
};

use portolan_core::Status;
use tokio::{sync::mpsc, task::AbortHandle, time::Instant};
use tokio_util::sync::CancellationToken;

pub(crate) use self::{
    process_loop::Transport,
    shared::{ProbeMemory, StatusCallback},
};
use self::{
    process_loop::{Command, ProcessLoop},
    shared::Shared,
};
use crate::{ProcessConfig, command_factory::CommandFactory, logs::Logs};

/// Owns one server. Dropping it kills the server's process group.
pub(crate) struct Supervisor {
    pub(crate) shared: Arc<Shared>,
    commands: mpsc::Sender<Command>,
    task: AbortHandle,
    /// Cancelled when the task has ended.
    ended: CancellationToken,
    /// The server that this one replaces, while that one is being stopped.
    predecessor: Option<Weak<Self>>,
}

/// How a new server relates to one that exists.
#[derive(Clone, Debug, Default)]
pub(crate) enum StartMode {
    /// There is no other.
    #[default]
    Fresh,
    /// It replaces that one, after it has ended, and goes on with its log.
    Replace(Arc<Supervisor>),
    /// It is one more process of what users see as one server: with the same log, and what is known of its handshake.
    Beside(Arc<Logs>, ProbeMemory),
}

impl Supervisor {
    /// Starts a server.
    pub(crate) fn start(
        name: &str,
        factory: Box<dyn CommandFactory>,
        transport: Transport,
        config: ProcessConfig,
        report: StatusCallback,
        mode: StartMode,
    ) -> Arc<Self> {
        let probe = ProbeMemory::default();
        let (logs, probe, predecessor) = match mode {
            StartMode::Fresh => (Arc::new(Logs::new(&config.limits, config.clock.clone())), probe, None),
            StartMode::Replace(other) => (other.shared.logs.clone(), probe, Some(other)),
            StartMode::Beside(all, probe) => (Arc::new(Logs::child_of(all, &config.limits)), probe, None),
        };
        let shared = Arc::new(Shared::new(name, config, logs, probe, report));
        (shared.report)(Status::Pending { cause: None }, 0);
        let (commands, mut receiver) = mpsc::channel(4);
        let ended = CancellationToken::new();
        let ending = ended.clone().drop_guard();
        let weak = predecessor.as_ref().map(Arc::downgrade);
        let state = shared.clone();
        let task = tokio::spawn(async move {
            if wait_for_predecessor(predecessor, &mut receiver, state.config.drain).await {
                ProcessLoop::new(state, factory, transport, receiver).run().await;
            } else {
                state.end();
            }
            drop(ending);
        });
        Arc::new(Self {
            shared,
            commands,
            task: task.abort_handle(),
            ended,
            predecessor: weak,
        })
    }

    /// Ends the server in order, after calls under way had `drain` to finish. No later call is taken.
    pub(crate) async fn stop(&self, drain: Duration) {
        self.stop_by(drain, None).await;
    }

    /// Ends the server likewise; at `deadline` nothing of it is left.
    pub(crate) async fn stop_by(&self, drain: Duration, deadline: Option<Instant>) {
        if self.commands.send(Command::Stop { drain, deadline }).await.is_ok() {
            self.ended.cancelled().await;
        }
    }

    /// Requests a restart; it is under way when this returns.
    pub(crate) async fn restart(&self, drain: Duration) {
        // If the process loop is gone, so is the server.
        let _ = self.commands.send(Command::Restart { drain }).await;
    }

    /// Kills the process group, and that of a server that is being replaced.
    pub(crate) fn kill(&self) {
        self.task.abort();
        self.shared.group.close();
        self.shared.end();
        if let Some(predecessor) = self.predecessor.as_ref().and_then(Weak::upgrade) {
            predecessor.kill();
        }
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        self.kill();
    }
}

impl fmt::Debug for Supervisor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Supervisor")
            .field("channel", &self.shared.channel)
            .field("pid", &self.shared.group.pid())
            .finish_non_exhaustive()
    }
}

/// Waits until the predecessor has ended. Returns false if the new server was stopped meanwhile.
async fn wait_for_predecessor(
    predecessor: Option<Arc<Supervisor>>,
    commands: &mut mpsc::Receiver<Command>,
    drain: Duration,
) -> bool {
    let Some(predecessor) = predecessor else { return true };
    let stopped = predecessor.stop(drain);
    tokio::pin!(stopped);
    loop {
        tokio::select! {
            () = &mut stopped => return true,
            command = commands.recv() => match command {
                Some(Command::Restart { .. }) => {}
                Some(Command::Stop { .. }) | None => {
                    predecessor.kill();
                    return false;
                }
            },
        }
    }
}
