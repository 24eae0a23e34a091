//! One list of one server: what is known, whether that is old, and whose turn it is to ask.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use arc_swap::ArcSwapOption;
use portolan_core::{Error, Failure, FailureKind, ServerName};
use tokio::sync::Mutex;

/// The longest time for which a server that hangs is not waited for again.
const LONGEST_BREAK: Duration = Duration::from_secs(60);
/// A failure that took this long has held somebody up.
const SLOW: Duration = Duration::from_secs(1);

/// A list, as it last was.
#[derive(Debug)]
pub(crate) struct Listed<L> {
    /// What was on it.
    pub(crate) items: Arc<L>,
    /// What the server said about keeping it.
    pub(crate) hints: Hints,
    /// When it was had.
    pub(crate) fetched: Instant,
    /// When it was last had, or asked for in vain.
    pub(super) looked_at: Instant,
    /// Which of the server's changes it knows.
    pub(super) change: u64,
}

/// What a server says about keeping its list (2026-07-28, caching). Legacy servers say nothing: then it is good for now
/// only, and for who asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Hints {
    /// For how long it is good, from when it was had.
    pub(crate) ttl: Duration,
    /// Whether it may be shared between callers.
    pub(crate) public: bool,
}

#[derive(Debug)]
pub(crate) struct Cached<L> {
    pub(super) listed: ArcSwapOption<Listed<L>>,
    /// Held by who asks the server.
    pub(super) turn: Mutex<()>,
    failed: ArcSwapOption<Failed>,
    /// How often the server has said that it changed.
    changes: AtomicU64,
}

/// A list that could not be had.
#[derive(Debug)]
pub(super) struct Failed {
    at: Instant,
    slow: bool,
    /// How often in a row.
    times: u32,
    error: Error,
}

impl<L> Default for Cached<L> {
    fn default() -> Self {
        Self {
            listed: None.into(),
            turn: Mutex::default(),
            failed: None.into(),
            changes: AtomicU64::default(),
        }
    }
}

impl<L> Listed<L> {
    /// For how much longer it is good.
    pub(crate) fn remaining(&self) -> Duration {
        self.hints.ttl.saturating_sub(self.fetched.elapsed())
    }
}

impl<L> Cached<L> {
    pub(super) fn mark_stale(&self) {
        self.changes.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn change(&self) -> u64 {
        self.changes.load(Ordering::Relaxed)
    }

    pub(super) fn is_stale(&self, listed: &Listed<L>) -> bool {
        listed.change != self.change()
    }

    pub(super) fn store(&self, items: L, hints: Hints, change: u64) -> Arc<Listed<L>> {
        let now = Instant::now();
        let listed = Arc::new(Listed {
            items: Arc::new(items),
            hints,
            fetched: now,
            looked_at: now,
            change,
        });
        self.listed.store(Some(listed.clone()));
        self.failed.store(None);
        listed
    }

    /// Notes that the list cannot be had. What is known stays, and is not asked for again at once.
    pub(super) fn fail(&self, since: Instant, server: &ServerName, error: &Error) {
        let times = self.failed.load().as_ref().map_or(0, |failed| failed.times);
        self.failed.store(Some(Arc::new(Failed {
            at: Instant::now(),
            slow: since.elapsed() >= SLOW || matches!(error, Error::Timeout { .. }),
            times: times.saturating_add(1),
            error: again(server, error),
        })));
        if let Some(listed) = self.listed.load_full() {
            self.listed.store(Some(Arc::new(Listed {
                items: listed.items.clone(),
                hints: listed.hints,
                fetched: listed.fetched,
                looked_at: Instant::now(),
                change: listed.change,
            })));
        }
    }

    pub(super) fn failed_within(&self, age: Duration) -> bool {
        self.failed
            .load()
            .as_ref()
            .is_some_and(|failed| failed.at.elapsed() < age)
    }

    /// How it failed, if that was at `since` or later.
    pub(super) fn failed_since(&self, since: Instant, server: &ServerName) -> Option<Error> {
        let failed = self.failed.load();
        let failed = failed.as_ref().filter(|failed| failed.at >= since)?;
        Some(again(server, &failed.error))
    }

    pub(super) fn breaker(&self, server: &ServerName) -> Breaker {
        match self.failed.load().as_ref() {
            Some(failed) if failed.slow && failed.at.elapsed() < failed.pause() => {
                Breaker::Open(again(server, &failed.error))
            }
            Some(failed) if failed.slow => Breaker::HalfOpen(again(server, &failed.error)),
            _ => Breaker::Closed,
        }
    }
}

/// Whether a server is waited for.
#[derive(Debug)]
pub(super) enum Breaker {
    /// It is.
    Closed,
    /// It hung, and is asked again, but not waited for as long.
    HalfOpen(Error),
    /// It hung just now.
    Open(Error),
}

impl Failed {
    /// 2, 4, 8 … seconds.
    fn pause(&self) -> Duration {
        Duration::from_secs(1 << self.times.min(6)).min(LONGEST_BREAK)
    }
}

/// The same error, for somebody else.
fn again(server: &ServerName, error: &Error) -> Error {
    match error {
        Error::Timeout { action, after } => Error::Timeout {
            action: action.clone(),
            after: *after,
        },
        Error::NotReady { what, name, failure } => Error::NotReady {
            what,
            name: name.clone(),
            failure: failure.clone(),
        },
        other => Error::NotReady {
            what: "server",
            name: server.to_string(),
            failure: Failure::new(FailureKind::Connection, other.to_string()),
        },
    }
}
