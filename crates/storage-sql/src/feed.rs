//! The change feed: past changes, then those to come, of this store and of other processes.

use std::{
    collections::VecDeque,
    sync::{Arc, Weak},
    time::Duration,
};

use futures_util::{StreamExt, stream, stream::BoxStream};
use portolan_core::{Change, Error, Key, RecordKind, Result, Revision};
use tokio::sync::watch;

use crate::{rows::ChangeRow, store::Inner};

/// The interval at which a feed looks for changes of other processes.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Returns the changes after `since`, and those to come.
pub(crate) fn follow(inner: &Arc<Inner>, since: Revision) -> BoxStream<'static, Result<Change>> {
    let feed = Feed {
        inner: Arc::downgrade(inner),
        changed: inner.changed.subscribe(),
        seen: since.0,
        complete_after: None,
        waiting: VecDeque::new(),
        failed: false,
    };
    stream::unfold(feed, async |mut feed| feed.next().await.map(|item| (item, feed))).boxed()
}

/// One follower of the feed.
struct Feed {
    /// Weak, so that a feed that nobody polls keeps no database open.
    inner: Weak<Inner>,
    changed: watch::Receiver<()>,
    /// The last revision read.
    seen: u64,
    /// Removals up to this revision may be forgotten without a loss to this follower. Unknown before the first look.
    complete_after: Option<u64>,
    waiting: VecDeque<Change>,
    failed: bool,
}

impl Feed {
    async fn next(&mut self) -> Option<Result<Change>> {
        loop {
            if let Some(change) = self.waiting.pop_front() {
                return Some(Ok(change));
            }
            if self.failed {
                return None;
            }
            // Marked before looking, so that a change during the look ends the wait after it.
            self.changed.mark_unchanged();
            match self.look().await? {
                Ok(true) => {}
                Ok(false) => self.wait().await?,
                Err(error) => {
                    self.failed = true;
                    return Some(Err(error));
                }
            }
        }
    }

    /// Reads on; `true` if there was anything, `None` if the store is gone.
    async fn look(&mut self) -> Option<Result<bool>> {
        let inner = self.inner.upgrade()?;
        let complete_after = match self.complete_after {
            Some(revision) => revision,
            // A follower from 0 knows no key yet, so an earlier removal does not concern it.
            None if self.seen == 0 => match inner.rows.changes(u64::MAX).await {
                Ok(nothing) => nothing.forgotten,
                Err(error) => return Some(Err(error.into())),
            },
            None => self.seen,
        };
        self.complete_after = Some(complete_after);

        let found = match inner.rows.changes(self.seen).await {
            Ok(found) => found,
            Err(error) => return Some(Err(error.into())),
        };
        if found.forgotten > complete_after.max(self.seen) {
            return Some(Err(gap(self.seen)));
        }
        let any = !found.rows.is_empty();
        self.seen = found.rows.last().map_or(self.seen, |row| row.revision);
        self.waiting = found.rows.iter().filter_map(change).collect();
        Some(Ok(any))
    }

    /// Waits until there may be a change; `None` if the store is gone.
    async fn wait(&mut self) -> Option<()> {
        match tokio::time::timeout(LOOK_EVERY, self.changed.changed()).await {
            Ok(Ok(())) | Err(_) => Some(()),
            Ok(Err(_)) => None,
        }
    }
}

/// Removals after `seen` are forgotten, so the reader begins anew: see the contract of the change feed.
fn gap(seen: u64) -> Error {
    Error::conflict("revision", seen)
}

/// Returns the change in a row; `None` for a kind that only a newer release knows.
fn change(row: &ChangeRow) -> Option<Change> {
    let kind = [
        RecordKind::Server,
        RecordKind::Install,
        RecordKind::Gateway,
        RecordKind::Token,
    ]
    .into_iter()
    .find(|kind| kind.as_str() == row.kind)?;
    let key = Key::parse(kind, &row.name)
        .inspect_err(|error| tracing::warn!(kind = row.kind, name = row.name, %error, "change of a key that is none"))
        .ok()?;
    Some(Change {
        revision: Revision(row.revision),
        key,
    })
}
