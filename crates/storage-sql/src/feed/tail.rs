//! The newest changes, read once for all followers of a store.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use portolan_core::{Error, Result};
use tokio::sync::watch;

use crate::{
    rows::{ChangeRow, News},
    store::Inner,
    wait::{Waiting, wait},
};

/// So many changes are kept for followers that are behind. Who is further behind reads the table.
const KEPT: usize = 4_096;

/// The newest changes, and the reader that reads them while somebody follows.
#[derive(Debug)]
pub(crate) struct Tail {
    state: Mutex<State>,
    news: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct State {
    /// All changes after `start` and up to `head`.
    rows: VecDeque<ChangeRow>,
    start: u64,
    head: u64,
    /// The number of the reader that reads.
    reader: Option<u64>,
    /// How many there were.
    readers: u64,
    /// The number of readers that failed, and the last one's error.
    failures: u64,
    error: Option<Error>,
}

/// What there is for a follower.
pub(super) enum Taken {
    /// The changes after its revision, and the revision up to which these are all.
    Rows(Vec<ChangeRow>, u64),
    /// Its revision is older than the tail, which begins after this one.
    Older(u64),
    /// The reader failed since it began to follow.
    Failed(Error),
    /// Nobody reads.
    Nobody,
}

impl Tail {
    pub(crate) fn new() -> Self {
        Self {
            state: Mutex::default(),
            news: watch::Sender::new(()),
        }
    }

    /// Returns a receiver that is signalled when there is something to take.
    pub(super) fn follow(&self) -> watch::Receiver<()> {
        self.news.subscribe()
    }

    /// Returns the number of readers that failed.
    pub(super) fn failures(&self) -> u64 {
        self.state().failures
    }

    /// Returns what there is for a follower that has seen all up to `seen`, and `failures` failures.
    pub(super) fn take(&self, seen: u64, failures: u64) -> Taken {
        let state = self.state();
        if state.failures > failures
            && let Some(error) = &state.error
        {
            return Taken::Failed(error.clone());
        }
        if state.reader.is_none() {
            return Taken::Nobody;
        }
        if seen < state.start {
            return Taken::Older(state.start);
        }
        let first = state.rows.partition_point(|row| row.revision <= seen);
        let rows = state.rows.range(first..).cloned().collect();
        Taken::Rows(rows, state.head.max(seen))
    }

    /// Reads what came after the head; `true` if there was anything.
    async fn read_on(&self, inner: &Inner) -> Result<bool> {
        let head = self.state().head;
        let found = inner.rows.changes(head).await?;
        let Some(last) = found.rows.last() else {
            return Ok(false);
        };
        let mut state = self.state();
        state.head = last.revision;
        state.rows.extend(found.rows);
        while state.rows.len() > KEPT {
            if let Some(row) = state.rows.pop_front() {
                state.start = row.revision;
            }
        }
        drop(state);
        self.news.send_replace(());
        Ok(true)
    }

    /// Ends the reader if nobody follows. Under the lock, so that who follows from now on starts another one.
    fn ends_alone(&self) -> bool {
        let mut state = self.state();
        if self.news.receiver_count() == 0 {
            state.reader = None;
        }
        state.reader.is_none()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Starts the reader, unless it runs.
pub(super) async fn start(inner: &Arc<Inner>) -> Result<()> {
    // All changes up to the newest one can be read, so followers find those before the tail in the table.
    let head = inner.rows.newest_change().await?;
    let waiting = Waiting::new(inner.changed.subscribe(), inner.rows.news(News::Changes));
    let mut state = inner.feed.state();
    if state.reader.is_some() {
        return Ok(());
    }
    let (number, failures) = (state.readers + 1, state.failures);
    *state = State {
        start: head,
        head,
        reader: Some(number),
        readers: number,
        failures,
        ..State::default()
    };
    drop(state);
    let tail = Arc::clone(&inner.feed);
    let reader = Reader { tail, number };
    tokio::spawn(read(Arc::downgrade(inner), reader, waiting));
    Ok(())
}

/// The reader's hold on the tail. Dropped, also with its runtime, it lets a follower start another one.
struct Reader {
    tail: Arc<Tail>,
    number: u64,
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut state = self.tail.state();
        if state.reader == Some(self.number) {
            state.reader = None;
        }
        drop(state);
        self.tail.news.send_replace(());
    }
}

/// Reads until the store is gone, nobody follows, or the database fails.
async fn read(inner: Weak<Inner>, reader: Reader, mut waiting: Waiting) {
    let tail = &reader.tail;
    loop {
        waiting.mark_unchanged();
        let read = match inner.upgrade() {
            Some(inner) => tail.read_on(&inner).await,
            None => return,
        };
        match read {
            Ok(true) => continue,
            Ok(false) => {}
            Err(error) => {
                let mut state = tail.state();
                state.failures += 1;
                state.error = Some(error);
                return;
            }
        }
        if wait(&mut waiting).await.is_none() || tail.ends_alone() {
            return;
        }
    }
}
