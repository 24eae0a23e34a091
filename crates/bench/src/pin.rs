//! CPU affinity of threads and processes.

use std::io;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// The cores of a run: one for the load and the upstream, one for the measured system.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cores {
    pub(crate) load: usize,
    pub(crate) measured: usize,
}

impl Cores {
    /// Chooses the first two cores that this process may use, or one for all.
    pub(crate) fn choose() -> io::Result<Self> {
        let allowed = sched_getaffinity(None)?;
        let mut cores = (0..CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core));
        let load = cores.next().unwrap_or_default();
        Ok(Self {
            load,
            measured: cores.next().unwrap_or(load),
        })
    }

    /// Returns whether the measured system has a core of its own.
    pub(crate) fn are_apart(self) -> bool {
        self.load != self.measured
    }
}

/// Pins the calling thread to a core. Threads and processes that it starts inherit that.
pub(crate) fn to(core: usize) -> io::Result<()> {
    let mut cores = CpuSet::new();
    cores.set(core);
    Ok(sched_setaffinity(None, &cores)?)
}
