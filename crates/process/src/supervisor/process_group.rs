//! The processes of a server, to be signalled from any thread while they exist.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::processes::{Family, ProcessId, ProcessInfo, Snapshot};

/// How old the list of processes may be by which it is seen whether a helper still runs. Many servers share one.
const RECENT: Duration = Duration::from_millis(50);

/// Holds the processes of the present run: its process group, and helpers that left it.
///
/// The group is forgotten when its leader has been waited for, so that no signal reaches an id that was reused. The
/// other processes are told apart by their start times.
#[derive(Debug, Default)]
pub(crate) struct ProcessGroup(Mutex<GroupState>);

#[derive(Debug, Default)]
struct GroupState {
    leader: Option<Pid>,
    family: Option<Family>,
    /// When the leader was last known to run: a list of processes that is older says nothing.
    led: Option<Instant>,
    /// No process may run any more.
    closed: bool,
}

impl ProcessGroup {
    /// Takes over a process that was started as the leader of a group of its own, with `mark` in its environment. Kills
    /// it if the group is closed.
    pub(crate) fn set_leader(&self, pid: Option<u32>, mark: &str) {
        let mut state = self.lock();
        state.leader = pid.and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
        state.family = Some(Family::new(pid.and_then(ProcessId::of), mark));
        if state.closed {
            state.kill(Instant::now());
        }
    }

    /// Returns the id of the leader, while there is one.
    pub(crate) fn pid(&self) -> Option<u32> {
        let leader = self.lock().leader?;
        u32::try_from(leader.as_raw_nonzero().get()).ok()
    }

    /// Returns true while a process of the server runs that can be seen.
    pub(crate) fn remains(&self) -> bool {
        let mut state = self.lock();
        let recent = Instant::now().checked_sub(RECENT);
        let after = state.led.max(recent).unwrap_or_else(Instant::now);
        !state.members(after).is_empty()
    }

    /// Sends SIGTERM to all of them.
    pub(crate) fn terminate(&self) {
        let mut state = self.lock();
        // The helpers are found before their parents end.
        let members = state.members(Instant::now());
        state.signal_group(Signal::TERM);
        let group = state.leader.map(|leader| leader.as_raw_nonzero().get());
        for member in members.into_iter().filter(|member| !is_in_group(*member, group)) {
            member.signal(Signal::TERM);
        }
    }

    /// Forgets the leader, which has just been waited for; what it left can still be ended in order. Where processes
    /// cannot be seen, kills what is left of the group.
    pub(crate) fn leader_exited(&self) {
        let mut state = self.lock();
        if !cfg!(target_os = "linux") {
            state.signal_group(Signal::KILL);
        }
        state.leader = None;
        state.led = Some(Instant::now());
    }

    /// Kills what is left and forgets it. Call it right after the leader has been waited for.
    pub(crate) fn release(&self) {
        let mut state = self.lock();
        let after = match (state.leader, state.led) {
            (None, Some(led)) => led,
            _ => Instant::now(),
        };
        state.kill(after);
        *state = GroupState {
            closed: state.closed,
            ..GroupState::default()
        };
    }

    /// Kills all of them.
    pub(crate) fn kill(&self) {
        self.lock().kill(Instant::now());
    }

    /// Kills all of them, and each later one.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.kill(Instant::now());
    }

    fn lock(&self) -> MutexGuard<'_, GroupState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl GroupState {
    fn signal_group(&self, signal: Signal) {
        if let Some(leader) = self.leader {
            // The group may have ended by itself.
            let _ = kill_process_group(leader, signal);
        }
    }

    /// Returns the processes that run, by a list that was begun at `after` or later.
    fn members(&mut self, after: Instant) -> Vec<ProcessId> {
        match &mut self.family {
            Some(family) => family.members(&Snapshot::begun_after(after)),
            None => Vec::new(),
        }
    }

    fn kill(&mut self, after: Instant) {
        // The helpers are found before their parents end.
        let members = self.members(after);
        let group = self.leader.map(|leader| leader.as_raw_nonzero().get());
        let outside: Vec<_> = members
            .into_iter()
            .filter(|member| !is_in_group(*member, group))
            .collect();
        self.signal_group(Signal::KILL);
        outside.iter().for_each(|member| member.signal(Signal::KILL));
        if !outside.is_empty() {
            // They may have started others meanwhile.
            let started = self.members(Instant::now());
            started.iter().for_each(|member| member.signal(Signal::KILL));
        }
    }
}

/// Returns true if a process is in this group.
fn is_in_group(process: ProcessId, group: Option<i32>) -> bool {
    group.is_some() && ProcessInfo::read(process.pid).map(|info| info.group) == group
}
