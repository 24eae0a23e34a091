//! One list of one server: what is known, whether that is old, and whose turn it is to ask.

use std::{
    any::Any,
    fmt,
    sync::{
        Arc, OnceLock,
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

/// A list as the server last sent it.
pub struct ListSnapshot<L> {
    /// The items.
    pub items: Arc<L>,
    /// What the server said about caching the list.
    pub hints: CacheHints,
    /// When the list was fetched.
    pub fetched: Instant,
    /// When it was last fetched, or asked for in vain.
    pub(super) looked_at: Instant,
    /// How many changes the server had announced by then.
    pub(super) change: u64,
    derived: Arc<OnceLock<Arc<dyn Any + Send + Sync>>>,
}

/// What a server says about caching its list (2026-07-28, caching). Legacy servers say nothing: then the list is good for
/// this moment, and for this requester only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheHints {
    /// How long the list is good from when it was fetched.
    pub ttl: Duration,
    /// Whether callers may share it.
    pub public: bool,
}

/// One list of one catalog.
#[derive(Debug)]
pub(crate) struct CachedList<L> {
    pub(crate) listed: ArcSwapOption<ListSnapshot<L>>,
    /// Held by who asks the server.
    pub(crate) turn: Mutex<()>,
    failed: ArcSwapOption<Failed>,
    /// How often the server has said that it changed.
    changes: AtomicU64,
}

/// A list that could not be had.
#[derive(Debug)]
pub(crate) struct Failed {
    at: Instant,
    slow: bool,
    /// How often in a row.
    times: u32,
    error: Error,
}

impl<L: fmt::Debug> fmt::Debug for ListSnapshot<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ListSnapshot")
            .field("items", &self.items)
            .field("hints", &self.hints)
            .finish_non_exhaustive()
    }
}

impl<L> Default for CachedList<L> {
    fn default() -> Self {
        Self {
            listed: None.into(),
            turn: Mutex::default(),
            failed: None.into(),
            changes: AtomicU64::default(),
        }
    }
}

impl<L> ListSnapshot<L> {
    /// A value that `build` computes from the items, once for this snapshot. One snapshot has values of one type.
    pub fn derived<T: Send + Sync + 'static>(&self, build: impl FnOnce(&L) -> T) -> Arc<T> {
        if let Some(known) = self.derived.get()
            && let Ok(known) = known.clone().downcast::<T>()
        {
            return known;
        }
        let built = Arc::new(build(&self.items));
        // Of two that build at once, the first stays.
        let first = self.derived.get_or_init(|| built.clone());
        first.clone().downcast::<T>().unwrap_or(built)
    }

    /// How much longer the list is good.
    pub fn remaining(&self) -> Duration {
        self.hints.ttl.saturating_sub(self.fetched.elapsed())
    }
}

impl<L> CachedList<L> {
    pub(crate) fn mark_stale(&self) {
        self.changes.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn change(&self) -> u64 {
        self.changes.load(Ordering::Relaxed)
    }

    pub(crate) fn is_stale(&self, listed: &ListSnapshot<L>) -> bool {
        listed.change != self.change()
    }

    pub(crate) fn store(&self, items: L, hints: CacheHints, change: u64) -> Arc<ListSnapshot<L>> {
        let now = Instant::now();
        let listed = Arc::new(ListSnapshot {
            items: Arc::new(items),
            hints,
            fetched: now,
            looked_at: now,
            change,
            derived: Arc::default(),
        });
        self.listed.store(Some(listed.clone()));
        self.failed.store(None);
        listed
    }

    /// Notes that the list cannot be had. What is known stays, and is not asked for again at once.
    pub(crate) fn fail(&self, since: Instant, server: &ServerName, error: &Error) {
        let times = self.failed.load().as_ref().map_or(0, |failed| failed.times);
        self.failed.store(Some(Arc::new(Failed {
            at: Instant::now(),
            slow: since.elapsed() >= SLOW || matches!(error, Error::Timeout { .. }),
            times: times.saturating_add(1),
            error: again(server, error),
        })));
        if let Some(listed) = self.listed.load_full() {
            self.listed.store(Some(Arc::new(ListSnapshot {
                items: listed.items.clone(),
                hints: listed.hints,
                fetched: listed.fetched,
                looked_at: Instant::now(),
                change: listed.change,
                derived: listed.derived.clone(),
            })));
        }
    }

    pub(crate) fn failed_within(&self, age: Duration) -> bool {
        self.failed
            .load()
            .as_ref()
            .is_some_and(|failed| failed.at.elapsed() < age)
    }

    /// How it failed, if that was at `since` or later.
    pub(crate) fn failed_since(&self, since: Instant, server: &ServerName) -> Option<Error> {
        let failed = self.failed.load();
        let failed = failed.as_ref().filter(|failed| failed.at >= since)?;
        Some(again(server, &failed.error))
    }

    pub(crate) fn breaker(&self, server: &ServerName) -> Breaker {
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
pub(crate) enum Breaker {
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
