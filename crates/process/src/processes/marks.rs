//! The variable that tells whose child a process is. Helpers inherit it, wherever they go.

use std::{
    hash::{BuildHasher, RandomState},
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    },
};

use super::ProcessId;

/// The environment variable with the mark of a run: `<token>.<number>`.
pub(crate) const MARK: &str = "PORTOLAN_RUN";

/// What all tokens of this host process begin with: its id, its start, and a random number.
static HOST: LazyLock<String> = LazyLock::new(|| {
    let pid = std::process::id();
    let start = ProcessId::of(pid).map_or(0, |id| id.start);
    format!("{pid}-{start}-{:016x}", RandomState::new().hash_one(pid))
});

/// The beginning of the marks of some servers of this host process, which no other servers have.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Token(String);

impl Token {
    /// Returns a token that nobody else has.
    pub(crate) fn new() -> Self {
        static TOKENS: AtomicU64 = AtomicU64::new(1);
        Self(format!("{}-{}", *HOST, TOKENS.fetch_add(1, Ordering::Relaxed)))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns a mark for one more run of a server.
    pub(crate) fn next_mark(&self) -> String {
        static RUNS: AtomicU64 = AtomicU64::new(1);
        format!("{}.{}", self.0, RUNS.fetch_add(1, Ordering::Relaxed))
    }
}
