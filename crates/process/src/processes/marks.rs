//! The variable that tells whose child a process is. Helpers inherit it, wherever they go.

use std::{
    hash::{BuildHasher, RandomState},
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    },
};

use super::ProcessId;

/// The environment variable with the mark of a run: `<token of the host>.<number>`.
pub(crate) const MARK: &str = "PORTOLAN_RUN";

/// The token of this host process, which no other has: its id, its start, and a random number.
pub(crate) static HOST_TOKEN: LazyLock<String> = LazyLock::new(|| {
    let pid = std::process::id();
    let start = ProcessId::of(pid).map_or(0, |id| id.start);
    format!("{pid}-{start}-{:016x}", RandomState::new().hash_one(pid))
});

/// Returns a mark for one more run of a server.
pub(crate) fn next_mark() -> String {
    static RUNS: AtomicU64 = AtomicU64::new(1);
    format!("{}.{}", *HOST_TOKEN, RUNS.fetch_add(1, Ordering::Relaxed))
}
