//! The state that a server's process shares with its callers.

use std::{
    process::ExitStatus,
    sync::{Arc, Mutex, PoisonError},
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

/// The state that the process loop of a server shares with its callers.
pub(crate) struct Shared {
    pub(crate) channel: StdioChannel,
    pub(crate) config: ProcessConfig,
    pub(crate) group: ProcessGroup,
    pub(crate) logs: Arc<Logs>,
    pub(crate) report: StatusCallback,
    /// How the last process ended.
    exit: Mutex<Option<ExitStatus>>,
}

impl Shared {
    pub(crate) fn new(name: &str, config: ProcessConfig, logs: Arc<Logs>, report: StatusCallback) -> Self {
        Self {
            channel: StdioChannel::new(name, &config.limits),
            group: ProcessGroup::default(),
            logs,
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
