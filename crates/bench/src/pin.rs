//! Which core a process runs on.

use std::io;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// The cores of a run: one for the load and the upstream, one for what is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cores {
    pub(crate) load: usize,
    pub(crate) measured: usize,
}

impl Cores {
    /// The first two cores this process may use. With one, all share it.
    pub(crate) fn choose() -> io::Result<Self> {
        let allowed = sched_getaffinity(None)?;
        let mut cores = (0..CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core));
        let load = cores.next().unwrap_or_default();
        Ok(Self {
            load,
            measured: cores.next().unwrap_or(load),
        })
    }

    /// Whether what is measured has a core of its own.
    pub(crate) fn are_apart(self) -> bool {
        self.load != self.measured
    }
}

/// Puts the calling thread on one core. Threads and processes it starts from then on inherit that.
pub(crate) fn to(core: usize) -> io::Result<()> {
    let mut cores = CpuSet::new();
    cores.set(core);
    Ok(sched_setaffinity(None, &cores)?)
}
