//! The state that a server's process shares with its callers.

use std::{
    process::ExitStatus,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use portolan_core::Status;

use super::process_group::ProcessGroup;
use crate::{
    ProcessConfig,
    channel::{StdioChannel, stopped},
    logs::Logs,
};

/// Receives each change of a server's status, with the number of its restarts.
pub(crate) type StatusCallback = Box<dyn Fn(Status, u32) + Send + Sync>;

/// Whether the next handshake begins with `initialize`: set once a server turned out to be of no use after the modern
/// probe. The processes of one server share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct ProbeMemory(Arc<AtomicBool>);

impl ProbeMemory {
    pub(crate) fn is_legacy_first(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn set_legacy_first(&self, legacy_first: bool) {
        self.0.store(legacy_first, Ordering::Relaxed);
    }
}

/// The state that the process loop of a server shares with its callers.
pub(crate) struct Shared {
    pub(crate) channel: StdioChannel,
    pub(crate) config: ProcessConfig,
    pub(crate) group: ProcessGroup,
    pub(crate) logs: Arc<Logs>,
    pub(crate) report: StatusCallback,
    pub(crate) probe: ProbeMemory,
    /// How the last process ended.
    exit: Mutex<Option<ExitStatus>>,
}

impl Shared {
    pub(crate) fn new(
        name: &str,
        config: ProcessConfig,
        logs: Arc<Logs>,
        probe: ProbeMemory,
        report: StatusCallback,
    ) -> Self {
        Self {
            channel: StdioChannel::new(name, &config.limits),
            group: ProcessGroup::default(),
            logs,
            probe,
            report,
            exit: Mutex::default(),
            config,
        }
    }

    /// Fails all calls from now on: nothing runs any more, and nothing will.
    pub(crate) fn end(&self) {
        self.channel.down(stopped());
    }

    /// Returns how the last process ended; `None` if none has.
    #[cfg(feature = "bridge")]
    pub(crate) fn exit(&self) -> Option<ExitStatus> {
        *self.exit.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records how a process ended.
    pub(crate) fn exited(&self, status: Option<ExitStatus>) {
        *self.exit.lock().unwrap_or_else(PoisonError::into_inner) = status;
    }
}
