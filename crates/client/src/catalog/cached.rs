//! The cache of one list.

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
use portolan_core::{Error, OmittedDefinition};
use tokio::sync::Mutex;

use super::sealed::Read;

/// The longest time for which a server that hung is not waited for.
const LONGEST_BREAK: Duration = Duration::from_secs(60);
/// A failure that took at least this long counts as a hang.
const SLOW: Duration = Duration::from_secs(1);

/// A list, as the server last sent it.
pub struct ListSnapshot<L> {
    /// The items.
    pub items: Arc<L>,
    /// The server's caching hints.
    pub hints: CacheHints,
    /// When the list was fetched.
    pub fetched: Instant,
    /// When the list was last fetched, or fetching it failed.
    pub(super) looked_at: Instant,
    /// The changes before.
    pub(super) change: ChangeCount,
    derived: Arc<Derived>,
}

/// What users of a list computed from its items.
pub(super) type Derived = OnceLock<Arc<dyn Any + Send + Sync>>;

/// The hints of a server about caching its list (2026-07-28, caching). Legacy servers give none: their lists are valid for
/// now, and for one requester only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheHints {
    /// How long the list is valid, counted from when it was fetched.
    pub ttl: Duration,
    /// `true` if callers may share the list.
    pub public: bool,
}

/// One list of one catalog.
#[derive(Debug)]
pub(crate) struct CachedList<L> {
    pub(crate) listed: ArcSwapOption<ListSnapshot<L>>,
    /// Held by the task that fetches the list.
    pub(crate) turn: Mutex<()>,
    failed: ArcSwapOption<Failed>,
    /// The number of changes that the server has announced.
    changes: AtomicU64,
    /// How often the list may have changed without an announcement, as after a restart.
    doubts: AtomicU64,
}

/// The changes of a list so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ChangeCount {
    /// Those that the server announced.
    pub(crate) announced: u64,
    /// Those that there may have been besides.
    doubted: u64,
}

/// A failed fetch.
#[derive(Debug)]
pub(crate) struct Failed {
    at: Instant,
    slow: bool,
    /// The number of failures in a row.
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
            doubts: AtomicU64::default(),
        }
    }
}

impl<L: super::Listing> ListSnapshot<L> {
    /// Returns what the server listed besides, and that was left out because clients could not read it.
    pub fn omitted(&self) -> &[OmittedDefinition] {
        self.items.omitted()
    }
}

impl<L> ListSnapshot<L> {
    /// Returns a value that `build` computes from the items, once per snapshot. A snapshot has derived values of one type
    /// only.
    pub fn derived<T: Send + Sync + 'static>(&self, build: impl FnOnce(&L) -> T) -> Arc<T> {
        if let Some(known) = self.derived.get()
            && let Ok(known) = known.clone().downcast::<T>()
        {
            return known;
        }
        let built = Arc::new(build(&self.items));
        // If two callers build at once, the first value stays.
        let first = self.derived.get_or_init(|| built.clone());
        first.clone().downcast::<T>().unwrap_or(built)
    }

    /// Returns how much longer the list is valid.
    pub fn remaining(&self) -> Duration {
        self.hints.ttl.saturating_sub(self.fetched.elapsed())
    }
}

impl<L> CachedList<L> {
    pub(crate) fn mark_stale(&self) {
        self.changes.fetch_add(1, Ordering::Relaxed);
    }

    /// Marks the list as stale without an announcement: a difference is still news to listeners.
    pub(crate) fn doubt(&self) {
        self.doubts.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn change(&self) -> ChangeCount {
        ChangeCount {
            announced: self.changes.load(Ordering::Relaxed),
            doubted: self.doubts.load(Ordering::Relaxed),
        }
    }

    pub(crate) fn is_stale(&self, listed: &ListSnapshot<L>) -> bool {
        listed.change != self.change()
    }

    /// Stores a fetched list. If it is the cached one, its items stay the same in memory.
    pub(crate) fn store(&self, items: L, hints: CacheHints, change: ChangeCount) -> Arc<ListSnapshot<L>>
    where
        L: Read,
    {
        match self.listed.load_full().filter(|known| known.items.is_identical(&items)) {
            Some(known) => self.store_shared(known.items.clone(), known.derived.clone(), hints, change),
            None => self.store_shared(Arc::new(items), Arc::default(), hints, change),
        }
    }

    /// Stores a list whose items other lists share.
    pub(super) fn store_shared(
        &self,
        items: Arc<L>,
        derived: Arc<Derived>,
        hints: CacheHints,
        change: ChangeCount,
    ) -> Arc<ListSnapshot<L>> {
        let now = Instant::now();
        let listed = Arc::new(ListSnapshot {
            items,
            hints,
            fetched: now,
            looked_at: now,
            change,
            derived,
        });
        self.listed.store(Some(listed.clone()));
        self.failed.store(None);
        listed
    }

    /// Records a failure. The cached list stays, and is not fetched again at once.
    pub(crate) fn fail(&self, since: Instant, error: &Error) {
        let times = self.failed.load().as_ref().map_or(0, |failed| failed.times);
        self.failed.store(Some(Arc::new(Failed {
            at: Instant::now(),
            slow: since.elapsed() >= SLOW || matches!(error, Error::Timeout { .. }),
            times: times.saturating_add(1),
            error: error.clone(),
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

    /// Returns `true` if the last fetch failed.
    pub(crate) fn has_failed(&self) -> bool {
        self.failed.load().is_some()
    }

    pub(crate) fn failed_within(&self, age: Duration) -> bool {
        self.failed
            .load()
            .as_ref()
            .is_some_and(|failed| failed.at.elapsed() < age)
    }

    /// Returns the error of a failure at `since` or later.
    pub(crate) fn failed_since(&self, since: Instant) -> Option<Error> {
        let failed = self.failed.load();
        let failed = failed.as_ref().filter(|failed| failed.at >= since)?;
        Some(failed.error.clone())
    }

    pub(crate) fn breaker(&self) -> Breaker {
        match self.failed.load().as_ref() {
            Some(failed) if failed.slow && failed.at.elapsed() < failed.pause() => Breaker::Open(failed.error.clone()),
            Some(failed) if failed.slow => Breaker::HalfOpen(failed.error.clone()),
            _ => Breaker::Closed,
        }
    }
}

/// The state of the circuit breaker of a list.
#[derive(Debug)]
pub(crate) enum Breaker {
    /// The server is waited for.
    Closed,
    /// The server hung, and is waited for less long.
    HalfOpen(Error),
    /// The server hung just now, and is not waited for.
    Open(Error),
}

impl Failed {
    /// Returns the pause: 2, 4, 8 … seconds.
    fn pause(&self) -> Duration {
        Duration::from_secs(1 << self.times.min(6)).min(LONGEST_BREAK)
    }
}

#[cfg(test)]
mod tests {
    use portolan_core::ErrorKind;

    use super::{super::Prompts, *};

    #[test]
    fn waiters_share_the_error_of_a_fetch() {
        let (list, since) = (CachedList::<Prompts>::default(), Instant::now());
        let error = Error::backend("the broker", "read a token", "its disk is full");
        list.fail(since, &error);
        let shared = list.failed_since(since).unwrap();
        assert_eq!(shared.kind(), ErrorKind::Backend);
        assert_eq!(shared.report().to_string(), error.report().to_string());
    }

    #[test]
    fn timeout_opens_the_breaker() {
        let list = CachedList::<Prompts>::default();
        assert!(matches!(list.breaker(), Breaker::Closed));
        let error = Error::Timeout {
            action: "the list of tools".into(),
            after: SLOW,
        };
        list.fail(Instant::now(), &error);
        assert!(matches!(list.breaker(), Breaker::Open(open) if open.kind() == ErrorKind::Timeout));
        list.store(Prompts::default(), CacheHints::default(), list.change());
        assert!(matches!(list.breaker(), Breaker::Closed));
    }
}
