//! The change feed: past changes, then those to come, of this store and of other processes.
//!
//! A follower reads the past from the table. What comes then is read once for all followers of the store, by the reader in
//! [`tail`].

mod tail;

use std::{
    collections::VecDeque,
    sync::{Arc, Weak},
};

use futures_util::{StreamExt, stream, stream::BoxStream};
use portolan_core::{Change, Error, Key, RecordKind, Result, Revision};
use tokio::sync::watch;

use crate::{rows::ChangeRow, store::Inner};
use tail::Taken;

pub(crate) use tail::Tail;

/// Returns the changes after `since`, and those to come.
pub(crate) fn follow(inner: &Arc<Inner>, since: Revision) -> BoxStream<'static, Result<Change>> {
    let feed = Feed {
        inner: Arc::downgrade(inner),
        news: inner.feed.follow(),
        failures: None,
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
    /// Signalled when the reader has read something, or failed.
    news: watch::Receiver<()>,
    /// The failures of readers when this follower began to listen to one.
    failures: Option<u64>,
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
            let looked = {
                let inner = self.inner.upgrade()?;
                self.look(&inner).await
            };
            match looked {
                Ok(true) => {}
                Ok(false) => self.news.changed().await.ok()?,
                Err(error) => {
                    self.failed = true;
                    return Some(Err(error));
                }
            }
        }
    }

    /// Reads on; `true` if there may be more at once.
    async fn look(&mut self, inner: &Arc<Inner>) -> Result<bool> {
        // Marked before looking, so that a change during the look ends the wait after it.
        self.news.mark_unchanged();
        let failures = *self.failures.get_or_insert_with(|| inner.feed.failures());
        match inner.feed.take(self.seen, failures) {
            Taken::Rows(rows, head) => {
                let any = head > self.seen;
                self.seen = head;
                self.waiting = rows.iter().filter_map(change).collect();
                Ok(any)
            }
            Taken::Older(start) => {
                if !self.catch_up(inner).await? {
                    // Whatever was before is superseded, or forgotten without a loss.
                    self.seen = self.seen.max(start);
                }
                Ok(true)
            }
            Taken::Failed(error) => Err(error),
            Taken::Nobody => {
                tail::start(inner).await?;
                Ok(true)
            }
        }
    }

    /// Reads changes from the table; `true` if there was anything.
    async fn catch_up(&mut self, inner: &Inner) -> Result<bool> {
        let complete_after = match self.complete_after {
            Some(revision) => revision,
            // A follower from 0 knows no key yet, so an earlier removal does not concern it.
            None if self.seen == 0 => inner.rows.changes(u64::MAX).await?.forgotten,
            None => self.seen,
        };
        self.complete_after = Some(complete_after);

        let found = inner.rows.changes(self.seen).await?;
        if found.forgotten > complete_after.max(self.seen) {
            return Err(gap(self.seen));
        }
        let any = !found.rows.is_empty();
        self.seen = found.rows.last().map_or(self.seen, |row| row.revision);
        self.waiting = found.rows.iter().filter_map(change).collect();
        Ok(any)
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
