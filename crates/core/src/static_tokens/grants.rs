//! The grants of static tokens, in memory.

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use futures_util::StreamExt;
use jiff::Timestamp;
use rpds::HashTrieMapSync;
use tokio::sync::Mutex;

use crate::{Caller, Change, Key, Page, Record, RecordKind, Registry, Result, Revision, TokenDigest, TokenGrant};

/// Above this number of changes at once, all grants are read again.
const MAX_SINGLE_CHANGES: usize = 8;

/// How long the feed rests after an error.
const PAUSE: Duration = Duration::from_millis(500);

/// All grants, by the digests of their tokens. A map that shares what does not change: one grant costs the same however
/// many there are.
#[derive(Debug, Default)]
pub(super) struct Grants {
    by_digest: ArcSwap<HashTrieMapSync<TokenDigest, KnownGrant>>,
    /// Held from reading the registry to updating the map. Otherwise an earlier read could overwrite a later one, and
    /// a revoked token would stay valid.
    update_lock: Mutex<()>,
}

/// A grant, with the caller that it authenticates.
#[derive(Clone, Debug)]
pub(super) struct KnownGrant {
    pub(super) caller: Arc<Caller>,
    pub(super) expires: Option<Timestamp>,
}

impl From<TokenGrant> for KnownGrant {
    fn from(grant: TokenGrant) -> Self {
        Self {
            caller: Arc::new(grant.caller()),
            expires: grant.expires,
        }
    }
}

impl Grants {
    pub(super) fn new(grants: impl IntoIterator<Item = TokenGrant>) -> Self {
        let by_digest = grants.into_iter().map(|grant| (grant.digest.clone(), grant.into()));
        Self {
            by_digest: ArcSwap::from_pointee(by_digest.collect()),
            update_lock: Mutex::default(),
        }
    }

    pub(super) fn get(&self, digest: &TokenDigest) -> Option<KnownGrant> {
        self.by_digest.load().get(digest).cloned()
    }

    /// Reads all grants, and returns a position of the feed before which every change has been seen.
    pub(super) async fn load(&self, registry: &dyn Registry) -> Result<Revision> {
        let _update = self.update_lock.lock().await;
        // Before the list is read, so that no change in between is missed.
        let revision = registry.revision().await?;
        let mut all = HashTrieMapSync::new_sync();
        let mut page = Page::first();
        loop {
            let records = registry.list(RecordKind::Token, page).await?;
            let Some(last) = records.last() else { break };
            page = Page::after(last.value.key());
            for record in records {
                if let Record::Token(grant) = record.value {
                    all.insert_mut(grant.digest.clone(), grant.into());
                }
            }
        }
        self.by_digest.store(Arc::new(all));
        Ok(revision)
    }

    /// Reads one grant again.
    pub(super) async fn reload(&self, registry: &dyn Registry, digest: &TokenDigest) -> Result<()> {
        let _update = self.update_lock.lock().await;
        let found = registry.get(&Key::Token(digest.clone())).await?;
        let all = self.by_digest.load();
        let changed = match found.map(|found| found.value) {
            Some(Record::Token(grant)) => all.insert(digest.clone(), grant.into()),
            _ if all.contains_key(digest) => all.remove(digest),
            _ => return Ok(()),
        };
        self.by_digest.store(Arc::new(changed));
        Ok(())
    }

    /// Applies changes: one by one if they are few, otherwise by reading all grants.
    async fn apply(&self, registry: &dyn Registry, changes: Vec<Result<Change>>) -> Result<()> {
        let mut digests = Vec::new();
        for change in changes {
            if let Key::Token(digest) = change?.key {
                digests.push(digest);
            }
        }
        if digests.len() > MAX_SINGLE_CHANGES {
            return self.load(registry).await.map(|_| ());
        }
        for digest in &digests {
            self.reload(registry, digest).await?;
        }
        Ok(())
    }
}

/// Keeps `grants` up to date with the registry, from the position `read` on. After an error everything is read again.
pub(super) async fn follow(grants: Arc<Grants>, registry: Arc<dyn Registry>, mut read: Revision) {
    loop {
        let mut changes = registry.changes(read).ready_chunks(MAX_SINGLE_CHANGES + 1);
        while let Some(chunk) = changes.next().await {
            if let Err(error) = grants.apply(&*registry, chunk).await {
                tracing::warn!(%error, "the registry's change feed failed; all tokens are read again");
                break;
            }
        }
        drop(changes);
        read = loop {
            tokio::time::sleep(PAUSE).await;
            match grants.load(&*registry).await {
                Ok(read) => break read,
                Err(error) => tracing::warn!(%error, "tokens cannot be read from the registry; retrying"),
            }
        };
    }
}
