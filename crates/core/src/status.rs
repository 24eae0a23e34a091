//! The status of deployments.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use futures_util::stream::{self, BoxStream, StreamExt};
use jiff::Timestamp;
use tokio::sync::watch;

use crate::{Failure, InstallName};

/// The status of a deployment.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Status {
    /// It starts.
    Pending {
        /// The reason for the wait, where it is known.
        cause: Option<String>,
    },
    /// It can be called.
    Ready,
    /// It exited and is being started again.
    Restarting {
        /// The failure.
        failure: Failure,
    },
    /// It does not run. The runtime may go on trying, so that it can become ready later without any change: a failure
    /// says so by [`Failure::is_retryable`].
    Failed {
        /// The failure.
        failure: Failure,
    },
    /// It sleeps; a call wakes it.
    Asleep,
    /// It wakes.
    Waking,
    /// It was removed.
    Removed,
}

/// A status of one deployment.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StatusEvent {
    /// The name of the deployment.
    pub install: InstallName,
    /// The status.
    pub status: Status,
    /// The number of restarts since it was created.
    pub restarts: u32,
    /// The time of the change.
    pub at: Timestamp,
}

impl StatusEvent {
    /// Creates the status of a deployment that was not restarted yet.
    ///
    /// ```
    /// use portolan_core::{Clock, InstallName, Status, StatusEvent, SystemClock};
    ///
    /// let event = StatusEvent::new(InstallName::new(&SystemClock), Status::Ready, SystemClock.now());
    /// assert!(event.status.is_settled());
    /// ```
    pub fn new(install: InstallName, status: Status, at: Timestamp) -> Self {
        Self {
            install,
            status,
            restarts: 0,
            at,
        }
    }
}

impl Status {
    /// Returns `true` if no change is under way: ready, failed, asleep or removed.
    pub fn is_settled(&self) -> bool {
        matches!(self, Self::Ready | Self::Failed { .. } | Self::Asleep | Self::Removed)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pending { cause: None } => f.write_str("starting"),
            Self::Pending { cause: Some(cause) } => write!(f, "starting: {cause}"),
            Self::Ready => f.write_str("ready"),
            Self::Restarting { failure } => write!(f, "restarting: {failure}"),
            Self::Failed { failure } => write!(f, "failed: {failure}"),
            Self::Asleep => f.write_str("asleep"),
            Self::Waking => f.write_str("waking"),
            Self::Removed => f.write_str("removed"),
        }
    }
}

impl fmt::Display for StatusEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.install, self.status)
    }
}

/// The statuses of a runtime's deployments: the runtime writes them, and any number of watchers read them.
///
/// It holds the last status of each deployment instead of a queue: a slow watcher misses statuses that were followed by
/// another one, and no others. Of removed deployments, the last 1,024 are remembered for slow watchers.
#[derive(Clone)]
pub struct StatusBoard {
    inner: Arc<Inner>,
}

struct Inner {
    seen: Mutex<Seen>,
    changed: watch::Sender<u64>,
}

#[derive(Default)]
struct Seen {
    sequence: u64,
    /// The last status of each, with the sequence number of its change.
    last: BTreeMap<InstallName, (u64, StatusEvent)>,
}

/// The most removed deployments that are remembered for watchers that have not seen their removal.
const REMOVED_KEPT: usize = 1024;

impl StatusBoard {
    /// Creates an empty board.
    ///
    /// ```
    /// use portolan_core::{Clock, InstallName, Status, StatusBoard, StatusEvent, SystemClock};
    ///
    /// let (board, name) = (StatusBoard::new(), InstallName::new(&SystemClock));
    /// board.set(StatusEvent::new(name, Status::Ready, SystemClock.now()));
    /// assert_eq!(board.get(&name).expect("a status").status, Status::Ready);
    /// ```
    pub fn new() -> Self {
        let inner = Inner {
            seen: Mutex::default(),
            changed: watch::Sender::new(0),
        };
        Self { inner: inner.into() }
    }

    /// Writes the status of a deployment. An equal status changes nothing and wakes no watcher.
    pub fn set(&self, event: StatusEvent) {
        let sequence = {
            let mut seen = self.lock();
            let same = seen
                .last
                .get(&event.install)
                .is_some_and(|(_, old)| old.status == event.status && old.restarts == event.restarts);
            if same {
                return;
            }
            seen.sequence += 1;
            let sequence = seen.sequence;
            seen.last.insert(event.install, (sequence, event));
            seen.forget_removed();
            sequence
        };
        // Of two that set at once, the earlier may come here later; the number must not go back, or a watcher sleeps on.
        self.inner.changed.send_modify(|last| *last = sequence.max(*last));
    }

    /// Returns the status of a deployment; `None` for an unknown or removed one.
    pub fn get(&self, name: &InstallName) -> Option<StatusEvent> {
        let (_, event) = self.lock().last.get(name).cloned()?;
        (event.status != Status::Removed).then_some(event)
    }

    /// Returns a stream of the present status of every deployment and of each change. It ends when the board is dropped.
    pub fn watch(&self) -> BoxStream<'static, StatusEvent> {
        let changed = self.inner.changed.subscribe();
        let weak = Arc::downgrade(&self.inner);
        let present: Vec<StatusEvent>;
        let from;
        {
            let seen = self.lock();
            from = seen.sequence;
            present = seen
                .last
                .values()
                .map(|(_, event)| event.clone())
                .filter(|event| event.status != Status::Removed)
                .collect();
        }
        let later = stream::unfold((changed, weak, from), |(mut changed, weak, from)| async move {
            changed.wait_for(|now| *now > from).await.ok()?;
            let (events, now) = {
                let inner = weak.upgrade()?;
                let seen = inner.seen.lock().unwrap_or_else(PoisonError::into_inner);
                (seen.since(from), seen.sequence)
            };
            Some((stream::iter(events), (changed, weak, now)))
        });
        stream::iter(present).chain(later.flatten()).boxed()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.inner.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seen {
    fn since(&self, from: u64) -> Vec<StatusEvent> {
        let mut events: Vec<_> = self.last.values().filter(|(sequence, _)| *sequence > from).collect();
        events.sort_by_key(|(sequence, _)| *sequence);
        events.into_iter().map(|(_, event)| event.clone()).collect()
    }

    fn forget_removed(&mut self) {
        let mut removed: Vec<_> = self
            .last
            .iter()
            .filter(|(_, (_, event))| event.status == Status::Removed)
            .map(|(name, (sequence, _))| (*sequence, *name))
            .collect();
        if removed.len() > REMOVED_KEPT {
            removed.sort_unstable();
            for (_, name) in &removed[..removed.len() - REMOVED_KEPT] {
                self.last.remove(name);
            }
        }
    }
}

impl Default for StatusBoard {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for StatusBoard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seen = self.lock();
        f.debug_map()
            .entries(seen.last.iter().map(|(name, (_, event))| (name, &event.status)))
            .finish()
    }
}

#[cfg(test)]
mod tests;
