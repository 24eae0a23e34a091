//! The processes of this machine, as `/proc` shows them: who belongs to which server, and signals that reach no stranger.
//!
//! On systems without `/proc` there are none to be seen; what is left there is the process group.

mod family;
mod marks;
mod snapshot;

use rustix::process::{Pid, Signal};

pub(crate) use self::{
    family::Family,
    marks::{MARK, Token},
    snapshot::{ProcessInfo, Snapshot},
};

/// A process: its id, and when it started, so that another one with the same id is not taken for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ProcessId {
    pub(crate) pid: i32,
    /// In ticks since the machine started.
    pub(crate) start: u64,
}

impl ProcessId {
    /// Returns the process that has this id now; `None` without one, or without `/proc`.
    pub(crate) fn of(pid: u32) -> Option<Self> {
        ProcessInfo::read(i32::try_from(pid).ok()?).map(|info| info.id)
    }

    /// Returns true while it runs; a process that ended and was not waited for does not.
    pub(crate) fn runs(self) -> bool {
        ProcessInfo::read(self.pid).is_some_and(|info| info.id == self && !info.is_zombie)
    }

    /// Sends it a signal, unless it is gone.
    pub(crate) fn signal(self, signal: Signal) {
        let Some(pid) = Pid::from_raw(self.pid) else { return };
        #[cfg(target_os = "linux")]
        if let Ok(handle) = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()) {
            // The handle cannot come to mean another process, so what is checked now stays so.
            if self.runs() {
                let _ = rustix::process::pidfd_send_signal(&handle, signal);
            }
            return;
        }
        // An old kernel, or a sandbox, without such handles.
        if self.runs() {
            let _ = rustix::process::kill_process(pid, signal);
        }
    }
}
