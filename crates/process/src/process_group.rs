//! The process group of a server, to be signalled from anywhere as long as it is there.

use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::process::{Pid, Signal, kill_process_group};

/// Holds the process group of the present run.
///
/// The group is let go when its leader has been waited for, so a signal never reaches a number that was given away.
#[derive(Debug, Default)]
pub(crate) struct ProcessGroup(Mutex<GroupState>);

#[derive(Debug, Default)]
struct GroupState {
    group: Option<Pid>,
    /// Nothing may run any more.
    closed: bool,
}

impl ProcessGroup {
    /// A process was started as the leader of its own group.
    pub(crate) fn set_leader(&self, pid: Option<u32>) {
        let mut held = self.lock();
        held.group = pid.and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
        if held.closed {
            held.signal(Signal::KILL);
        }
    }

    /// The id of the process, while there is one.
    pub(crate) fn pid(&self) -> Option<u32> {
        let group = self.lock().group?;
        u32::try_from(group.as_raw_nonzero().get()).ok()
    }

    /// Asks the whole group to end.
    pub(crate) fn terminate(&self) {
        self.lock().signal(Signal::TERM);
    }

    /// Ends what is left of the group, and lets it go. To be called right after its leader has been waited for.
    pub(crate) fn release(&self) {
        let mut held = self.lock();
        held.signal(Signal::KILL);
        held.group = None;
    }

    /// Ends the whole group at once.
    pub(crate) fn kill(&self) {
        self.lock().signal(Signal::KILL);
    }

    /// Ends the whole group at once, and each later one.
    pub(crate) fn close(&self) {
        let mut held = self.lock();
        held.closed = true;
        held.signal(Signal::KILL);
    }

    fn lock(&self) -> MutexGuard<'_, GroupState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl GroupState {
    fn signal(&self, signal: Signal) {
        if let Some(group) = self.group {
            // It may have ended by itself: then there is nothing to do.
            let _ = kill_process_group(group, signal);
        }
    }
}
