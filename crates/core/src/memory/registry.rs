//! A registry in memory.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    ops::Bound,
    sync::{Arc, Mutex, Weak},
};

use async_trait::async_trait;
use futures_util::stream::{self, BoxStream, StreamExt};
use tokio::sync::watch;

use super::{Versions, check, lock};
use crate::{
    Change, Error, Install, InstallName, Key, Owner, Page, Precondition, Record, RecordKind, Registry, Result,
    Revision, ServerName, ToolSetCache, Version, Versioned,
};

/// The most removals that the feed remembers. A reader that is further behind starts again: see the contract.
const REMOVALS_KEPT: usize = 10_000;

/// A [`Registry`] in memory.
///
/// Its change feed holds the last change of each key: one entry per record, and one for each of the last 10,000 removals.
pub struct MemoryRegistry {
    inner: Arc<Inner>,
}

struct Inner {
    kept: Mutex<Records>,
    /// The revision of the last change. Readers wait on it; it closes with the registry.
    last: watch::Sender<u64>,
}

/// The number of a change is its position in the feed, and the version of the record that it wrote.
#[derive(Default)]
struct Records {
    versions: Versions,
    records: BTreeMap<Key, Versioned<Record>>,
    /// The last change of each present or removed key.
    feed: BTreeMap<u64, Key>,
    /// The positions of removed keys in the feed.
    removed: BTreeMap<Key, u64>,
    removals: BTreeSet<u64>,
    /// The last removal that was forgotten.
    forgotten: u64,
    installs: BTreeMap<ServerName, BTreeMap<Owner, BTreeSet<InstallName>>>,
    tools: ToolSetCache,
}

impl MemoryRegistry {
    /// Creates an empty registry. For an example, see [`Registry`].
    pub fn new() -> Self {
        let inner = Inner {
            kept: Mutex::default(),
            last: watch::Sender::new(0),
        };
        Self { inner: inner.into() }
    }
}

#[async_trait]
impl Registry for MemoryRegistry {
    async fn get(&self, key: &Key) -> Result<Option<Versioned<Record>>> {
        Ok(lock(&self.inner.kept).records.get(key).cloned())
    }

    async fn put(&self, record: Record, when: Precondition) -> Result<Version> {
        let key = record.key();
        let mut kept = lock(&self.inner.kept);
        kept.check(&key, when)?;
        let version = kept.changed(&key);
        kept.insert(key, record, version);
        self.inner.last.send_replace(version.0.get());
        Ok(version)
    }

    async fn remove(&self, key: &Key, when: Precondition) -> Result<()> {
        let mut kept = lock(&self.inner.kept);
        kept.check(key, when)?;
        if kept.records.contains_key(key) {
            let version = kept.changed(key);
            kept.take(key);
            kept.remember_removal(key, version.0.get());
            self.inner.last.send_replace(version.0.get());
        }
        Ok(())
    }

    async fn list(&self, kind: RecordKind, page: Page) -> Result<Vec<Versioned<Record>>> {
        if page.limit == 0 {
            return Err(Error::invalid("limit", "is 0; ask for one record at least"));
        }
        let kept = lock(&self.inner.kept);
        let after = page.after.map_or(Bound::Unbounded, Bound::Excluded);
        let wanted = kept
            .records
            .range((after, Bound::Unbounded))
            .filter(|(key, _)| key.kind() == kind);
        Ok(wanted.take(page.limit).map(|(_, record)| record.clone()).collect())
    }

    async fn installs_of(
        &self,
        server: &ServerName,
        owner: Option<&Owner>,
        page: Page,
    ) -> Result<Vec<Versioned<Install>>> {
        if page.limit == 0 {
            return Err(Error::invalid("limit", "is 0; ask for one record at least"));
        }
        let kept = lock(&self.inner.kept);
        let owners = kept.installs.get(server).into_iter().flatten();
        let wanted = owners.filter(|(of, _)| owner.is_none_or(|owner| owner == *of));
        let names: BTreeSet<Key> = wanted
            .flat_map(|(_, names)| names.iter().map(|name| Key::Install(*name)))
            .collect();
        let after = page.after.map_or(Bound::Unbounded, Bound::Excluded);
        let names = names.range((after, Bound::Unbounded)).take(page.limit);
        let records = names.filter_map(|name| kept.records.get(name));
        Ok(records.filter_map(install).collect())
    }

    async fn revision(&self) -> Result<Revision> {
        Ok(Revision(*self.inner.last.borrow()))
    }

    fn changes(&self, since: Revision) -> BoxStream<'static, Result<Change>> {
        let reader = Reader {
            registry: Arc::downgrade(&self.inner),
            last: self.inner.last.subscribe(),
            seen: since.0,
        };
        stream::unfold(Some(reader), |reader| async {
            let mut reader = reader?;
            match reader.next().await? {
                Ok(change) => Some((Ok(change), Some(reader))),
                Err(error) => Some((Err(error), None)),
            }
        })
        .boxed()
    }
}

impl Records {
    fn check(&self, key: &Key, when: Precondition) -> Result<()> {
        let now = self.records.get(key).map(|record| record.version);
        check(when, now, || Error::conflict(key.kind().as_str(), key.name()))
    }

    fn insert(&mut self, key: Key, mut record: Record, version: Version) {
        self.take(&key);
        if let Record::Install(install) = &mut record {
            install.tools = self.tools.intern(install.tools.clone());
            let owners = self.installs.entry(install.server.clone()).or_default();
            owners.entry(install.owner.clone()).or_default().insert(install.name);
        }
        self.records.insert(key, Versioned { value: record, version });
    }

    fn take(&mut self, key: &Key) {
        let Some(record) = self.records.remove(key) else {
            return;
        };
        let Record::Install(install) = record.value else {
            return;
        };
        let Some(owners) = self.installs.get_mut(&install.server) else {
            return;
        };
        if let Some(names) = owners.get_mut(&install.owner)
            && names.remove(&install.name)
            && names.is_empty()
        {
            owners.remove(&install.owner);
        }
        if owners.is_empty() {
            self.installs.remove(&install.server);
        }
    }

    /// Moves `key` to the end of the feed.
    fn changed(&mut self, key: &Key) -> Version {
        let version = self.versions.next();
        if let Some(record) = self.records.get(key) {
            self.feed.remove(&record.version.0.get());
        } else if let Some(removal) = self.removed.remove(key) {
            self.feed.remove(&removal);
            self.removals.remove(&removal);
        }
        self.feed.insert(version.0.get(), key.clone());
        version
    }

    fn remember_removal(&mut self, key: &Key, revision: u64) {
        self.removed.insert(key.clone(), revision);
        self.removals.insert(revision);
        if self.removals.len() <= REMOVALS_KEPT {
            return;
        }
        if let Some(oldest) = self.removals.pop_first() {
            self.forgotten = oldest;
            if let Some(key) = self.feed.remove(&oldest) {
                self.removed.remove(&key);
            }
        }
    }
}

fn install(record: &Versioned<Record>) -> Option<Versioned<Install>> {
    let Record::Install(value) = record.value.clone() else {
        return None;
    };
    let version = record.version;
    Some(Versioned { value, version })
}

/// A reader of the feed. It holds no part of it, only its place.
struct Reader {
    registry: Weak<Inner>,
    last: watch::Receiver<u64>,
    seen: u64,
}

impl Reader {
    /// The next change; `None` when the registry is gone.
    async fn next(&mut self) -> Option<Result<Change>> {
        loop {
            self.last.wait_for(|last| *last > self.seen).await.ok()?;
            let inner = self.registry.upgrade()?;
            let kept = lock(&inner.kept);
            if 0 < self.seen && self.seen < kept.forgotten {
                return Some(Err(Error::conflict("change feed", format!("since {}", self.seen))));
            }
            let after = (Bound::Excluded(self.seen), Bound::Unbounded);
            if let Some((revision, key)) = kept.feed.range(after).next() {
                self.seen = *revision;
                return Some(Ok(Change {
                    revision: Revision(*revision),
                    key: key.clone(),
                }));
            }
        }
    }
}

impl Default for MemoryRegistry {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kept = lock(&self.inner.kept);
        f.debug_struct("MemoryRegistry")
            .field("records", &kept.records.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ServerName, ServerSpec};

    fn server(number: usize) -> ServerSpec {
        ServerSpec::command(format!("s{number}"), "true", [""; 0]).expect("a server")
    }

    fn key(number: usize) -> Key {
        Key::Server(ServerName::parse(format!("s{number}")).expect("a name"))
    }

    async fn put_and_remove(registry: &MemoryRegistry, numbers: std::ops::Range<usize>) {
        for number in numbers {
            registry
                .put(server(number).into(), Precondition::None)
                .await
                .expect("put");
            registry.remove(&key(number), Precondition::None).await.expect("remove");
        }
    }

    #[tokio::test]
    async fn feed_is_bounded() {
        let registry = MemoryRegistry::new();
        for _ in 0..3 {
            put_and_remove(&registry, 0..50).await;
        }
        assert_eq!(lock(&registry.inner.kept).feed.len(), 50);
        put_and_remove(&registry, 0..REMOVALS_KEPT + 50).await;
        let kept = lock(&registry.inner.kept);
        assert_eq!(
            (kept.feed.len(), kept.removed.len(), kept.removals.len()),
            (REMOVALS_KEPT, REMOVALS_KEPT, REMOVALS_KEPT)
        );
    }

    #[tokio::test]
    async fn reader_behind_forgotten_removal_conflicts() {
        let registry = MemoryRegistry::new();
        registry.put(server(0).into(), Precondition::None).await.expect("put");
        put_and_remove(&registry, 1..REMOVALS_KEPT + 3).await;
        let mut behind = registry.changes(Revision(1));
        assert!(matches!(behind.next().await, Some(Err(Error::Conflict { .. }))));
        assert!(behind.next().await.is_none());
        let anew = registry.changes(Revision(0)).next().await;
        assert_eq!(anew.expect("a change").expect("no error").key, key(0));
    }
}
