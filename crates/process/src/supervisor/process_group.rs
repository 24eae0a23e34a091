//! The process group of a server, to be signalled from any thread while it exists.

use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::process::{Pid, Signal, kill_process_group};

/// Holds the process group of the present run.
///
/// The group is forgotten when its leader has been waited for, so that no signal reaches an id that was reused.
#[derive(Debug, Default)]
pub(crate) struct ProcessGroup(Mutex<GroupState>);

#[derive(Debug, Default)]
struct GroupState {
    leader: Option<Pid>,
    /// No process may run any more.
    closed: bool,
}

impl ProcessGroup {
    /// Takes over a process that was started as the leader of a group of its own. Kills it if the group is closed.
    pub(crate) fn set_leader(&self, pid: Option<u32>) {
        let mut state = self.lock();
        state.leader = pid.and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
        if state.closed {
            state.signal(Signal::KILL);
        }
    }

    /// Returns the id of the leader, while there is one.
    pub(crate) fn pid(&self) -> Option<u32> {
        let leader = self.lock().leader?;
        u32::try_from(leader.as_raw_nonzero().get()).ok()
    }

    /// Sends SIGTERM to the whole group.
    pub(crate) fn terminate(&self) {
        self.lock().signal(Signal::TERM);
    }

    /// Kills what is left of the group and forgets it. Call it right after its leader has been waited for.
    pub(crate) fn release(&self) {
        let mut state = self.lock();
        state.signal(Signal::KILL);
        state.leader = None;
    }

    /// Kills the whole group.
    pub(crate) fn kill(&self) {
        self.lock().signal(Signal::KILL);
    }

    /// Kills the whole group, and each later one.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.signal(Signal::KILL);
    }

    fn lock(&self) -> MutexGuard<'_, GroupState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl GroupState {
    fn signal(&self, signal: Signal) {
        if let Some(leader) = self.leader {
            // The group may have ended by itself.
            let _ = kill_process_group(leader, signal);
        }
    }
}
