//! Follows the change feed, so that the gateway serves what any process has written.

use std::{collections::BTreeSet, time::Duration};

use futures_util::StreamExt;

use crate::{Backoff, Error, Result, Revision};

use super::super::Orchestrator;

/// How many changes are taken over at once.
const CHUNK: usize = 256;
/// The first and the longest delay before a registry or gateway that failed is tried again.
const FIRST_DELAY: Duration = Duration::from_millis(100);
const LONGEST_DELAY: Duration = Duration::from_secs(10);

impl Orchestrator {
    /// Keeps the gateway in step with the registry: what any process writes is served here without being told.
    ///
    /// Reads everything once, unless that was done, then follows the change feed. It goes on from the last change that it has
    /// seen when the registry was unavailable, or when it is called again; where the registry has forgotten changes since, it
    /// reads everything anew. A gateway that cannot be published is tried again. What happens is told by `tracing`.
    ///
    /// Returns when the feed ends, which is with the registry; so a host spawns it and drops it at its end. One is enough for
    /// an orchestrator.
    ///
    /// ```no_run
    /// # async fn example(orchestrator: std::sync::Arc<portolan_core::orchestrator::Orchestrator>) {
    /// let follower = orchestrator.clone();
    /// let task = tokio::spawn(async move { follower.follow().await });
    /// // … serve …
    /// task.abort();
    /// # }
    /// ```
    pub async fn follow(&self) {
        let mut backoff = Backoff::new(FIRST_DELAY, LONGEST_DELAY);
        loop {
            match self.follow_feed(&mut backoff).await {
                Ok(()) => return,
                Err(error @ Error::Conflict { .. }) => {
                    tracing::info!(%error, "the change feed has a gap; the registry is read anew");
                    self.view.lock().revision = None;
                }
                Err(error) => {
                    tracing::warn!(%error, "the registry is not followed now; it is tried again");
                }
            }
            tokio::time::sleep(backoff.next_delay()).await;
        }
    }

    /// Follows the feed until it ends, or with the error that ended it.
    async fn follow_feed(&self, backoff: &mut Backoff) -> Result<()> {
        let since = self.sync_start().await?;
        tracing::debug!(since = since.0, "the registry is followed");
        let mut feed = self.parts.registry.changes(since).ready_chunks(CHUNK);
        while let Some(chunk) = feed.next().await {
            let (mut keys, mut last, mut failed) = (BTreeSet::new(), None::<Revision>, None);
            for change in chunk {
                match change {
                    Ok(change) => {
                        keys.insert(change.key);
                        last = Some(change.revision);
                    }
                    Err(error) => failed = Some(error),
                }
            }
            if let Some(revision) = last {
                self.sync_feed(keys, revision).await?;
                backoff.reset();
            }
            if let Some(error) = failed {
                return Err(error);
            }
        }
        Ok(())
    }
}
