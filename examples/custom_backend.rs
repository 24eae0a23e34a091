//! A registry of one's own, proven: one test for each promise of the trait.
//!
//! ```text
//! cargo run --example custom_backend      puts a server in and lists it
//! cargo test --example custom_backend     runs the whole suite
//! ```

#![expect(clippy::print_stdout, reason = "an example talks to people")]

use std::{collections::BTreeMap, num::NonZeroU64, ops::Bound};

use async_trait::async_trait;
use futures_util::stream::{self, BoxStream, StreamExt};
use portolan::{
    Error, Registry, Result, ServerSpec,
    core::{Change, Key, Page, Precondition, Record, RecordKind, RegistryExt, Revision, Version, Versioned},
};
use tokio::sync::watch;

/// Keeps everything in a sorted map, inside a channel that tells its readers of each change.
#[derive(Debug, Default)]
struct MyRegistry(watch::Sender<Entries>);

/// The last change of each key, and what it left there: `None` after a removal.
///
/// Removed keys stay here for ever. A registry that lives long forgets the oldest, and tells readers of the feed that are
/// further behind to begin anew: see the contract.
#[derive(Debug, Default)]
struct Entries {
    by_key: BTreeMap<Key, (Version, Option<Record>)>,
    changes: u64,
}

#[async_trait]
impl Registry for MyRegistry {
    async fn get(&self, key: &Key) -> Result<Option<Versioned<Record>>> {
        Ok(self.0.borrow().get(key))
    }

    async fn put(&self, record: Record, when: Precondition) -> Result<Version> {
        let key = record.key();
        let mut outcome = Err(conflict(&key));
        // Checked and written in one step: the channel lets nobody else in meanwhile.
        self.0.send_if_modified(|entries| {
            let holds = entries.holds(&key, when);
            if holds {
                outcome = Ok(entries.write(key, Some(record)));
            }
            holds
        });
        outcome
    }

    async fn remove(&self, key: &Key, when: Precondition) -> Result<()> {
        let mut outcome = Err(conflict(key));
        self.0.send_if_modified(|entries| {
            if !entries.holds(key, when) {
                return false;
            }
            outcome = Ok(());
            // Removing what is not there succeeds, and is no change.
            let is_there = entries.get(key).is_some();
            if is_there {
                entries.write(key.clone(), None);
            }
            is_there
        });
        outcome
    }

    async fn list(&self, kind: RecordKind, page: Page) -> Result<Vec<Versioned<Record>>> {
        if page.limit == 0 {
            return Err(Error::invalid("limit", "is 0; ask for one record at least"));
        }
        let entries = self.0.borrow();
        let after = page.after.map_or(Bound::Unbounded, Bound::Excluded);
        let keys = entries.by_key.range((after, Bound::Unbounded)).map(|(key, _)| key);
        let of_kind = keys.filter(|key| key.kind() == kind);
        Ok(of_kind.filter_map(|key| entries.get(key)).take(page.limit).collect())
    }

    fn changes(&self, since: Revision) -> BoxStream<'static, Result<Change>> {
        let reader = (self.0.subscribe(), since);
        stream::unfold(reader, |(mut entries, since)| async move {
            // The channel closes with the registry, and so does the feed.
            let change = entries
                .wait_for(|now| now.after(since).is_some())
                .await
                .ok()?
                .after(since)?;
            let seen = change.revision;
            Some((Ok(change), (entries, seen)))
        })
        .boxed()
    }
}

impl MyRegistry {
    fn fresh() -> Self {
        Self::default()
    }
}

impl Entries {
    fn get(&self, key: &Key) -> Option<Versioned<Record>> {
        let (version, record) = self.by_key.get(key)?;
        let (value, version) = (record.clone()?, *version);
        Some(Versioned { value, version })
    }

    fn holds(&self, key: &Key, when: Precondition) -> bool {
        let now = self.get(key).map(|found| found.version);
        match when {
            Precondition::None => true,
            Precondition::Absent => now.is_none(),
            Precondition::Version(version) => now == Some(version),
        }
    }

    /// The number of a change is its place in the feed and the version of its record, so no version comes up twice.
    fn write(&mut self, key: Key, record: Option<Record>) -> Version {
        let version = Version(NonZeroU64::MIN.saturating_add(self.changes));
        self.changes += 1;
        self.by_key.insert(key, (version, record));
        version
    }

    /// The first change after a revision.
    fn after(&self, since: Revision) -> Option<Change> {
        let changes = self.by_key.iter().map(|(key, (version, _))| Change {
            revision: Revision(version.0.get()),
            key: key.clone(),
        });
        let later = changes.filter(|change| change.revision > since);
        later.min_by_key(|change| change.revision)
    }
}

fn conflict(key: &Key) -> Error {
    Error::conflict(key.kind().as_str(), key.name())
}

// In a package of your own: `portolan::conformance::registry_suite!`, with the feature `conformance`.
portolan::core::conformance::registry_suite!(|| MyRegistry::fresh());

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let registry = MyRegistry::fresh();
    let server = ServerSpec::command("time", "uvx", ["mcp-server-time"])?;
    registry.put(server.into(), Precondition::Absent).await?;
    for server in registry.servers().await? {
        println!("{} in version {}", server.value.name, server.version.0);
    }
    Ok(())
}
