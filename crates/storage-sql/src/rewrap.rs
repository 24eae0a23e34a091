//! Wrapping data keys again after the provider has a new key.

use std::{collections::BTreeSet, sync::Arc, sync::Weak, time::Duration};

use futures_util::{StreamExt, stream};
use portolan_core::{KeyId, Result};
use tokio::task::JoinHandle;

use crate::{
    SqlStore, credentials,
    error::SqlError,
    one_time,
    rows::{NewWrapRow, OldWrapRow, ProbeRow, SealedTable},
    seal::OpenError,
    store::Inner,
};

/// So many records are rewrapped in one transaction.
const BATCH: usize = 100;
/// So many calls of the provider run at once.
const CALLS: usize = 16;
/// How often records are looked for again that were written meanwhile by a replica that has not seen the new key.
const PASSES: usize = 3;
/// Under this name one replica at a time rewraps in the background. No credential has it: its `:` is in no key.
const LEASE: &str = "portolan:rewrap";
/// How long the lease is held at most. The background task begins anew after it.
const LEASE_FOR: Duration = Duration::from_secs(300);

/// What [`SqlStore::rewrap`] did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rewrapped {
    /// The number of records whose data key is now wrapped with the current key.
    pub rewrapped: u64,
    /// The number of records that do not open, so that they stay as they are. The log names them.
    pub failed: u64,
    /// The keys that nothing in this database is wrapped with any more. They may be needed for older backups of it.
    pub unused: Vec<String>,
    /// The keys other than the current one that something is wrapped with still.
    pub in_use: Vec<String>,
}

impl SqlStore {
    /// Wraps the data keys of all records with the current key of the provider, and seals under a data key what earlier
    /// releases sealed directly.
    ///
    /// Call it after the provider has a new current key, while it still unwraps with the older ones. Versions stay, and
    /// reads and writes go on meanwhile. Batches of 100 records are written in a transaction each. If it ends early, what
    /// is done is done, and the next call goes on. Several replicas may run it at once; they do part of the work twice.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use portolan_core::{CredentialKey, CredentialReader, CredentialStore, KeyProvider, Precondition, Secret, SystemClock};
    /// use portolan_core::memory::MemoryKeys;
    /// use portolan_storage_sql::{SqlStore, sqlx::sqlite::SqlitePoolOptions};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let provider = Arc::new(MemoryKeys::new()); // a key management service here
    /// # let pool = SqlitePoolOptions::new().max_connections(1).connect("sqlite::memory:").await?;
    /// let store = SqlStore::from_pool(pool, provider.clone() as Arc<dyn KeyProvider>, Arc::new(SystemClock)).await?;
    /// let key = CredentialKey::parse("github/token")?;
    /// store.put(&key, Secret::new("hunter2"), Precondition::Absent).await?;
    ///
    /// provider.rotate();
    /// let done = store.rewrap().await?;
    /// assert_eq!((done.rewrapped, done.unused.len()), (1, 1));
    /// provider.forget_older();
    /// assert!(store.read(&key).await?.is_some());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`](portolan_core::Error::Unavailable) if the provider or the database does not answer;
    /// [`Error::Backend`](portolan_core::Error::Backend) of the database.
    pub async fn rewrap(&self) -> Result<Rewrapped> {
        Ok(rewrap(&self.inner).await?)
    }

    /// Starts a task that looks for older keys now and then every `every`, and rewraps what they wrapped. One of several
    /// replicas does it. It ends with the store, or when the returned value is dropped.
    ///
    /// It tells its progress in `tracing`: at level info when it begins and ends, debug for each batch, warn for a failure,
    /// after which it tries again at the next turn. Must be called on a tokio runtime with time.
    pub fn rewrap_in_background(&self, every: Duration) -> RewrapTask {
        let inner = Arc::downgrade(&self.inner);
        RewrapTask(tokio::spawn(watch_keys(inner, every)))
    }
}

/// A task that rewraps in the background: see [`SqlStore::rewrap_in_background`]. Dropping it ends the task between two
/// batches; what is done stays.
#[derive(Debug)]
#[must_use = "the task ends when this is dropped"]
pub struct RewrapTask(JoinHandle<()>);

impl Drop for RewrapTask {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn watch_keys(store: Weak<Inner>, every: Duration) {
    while let Some(inner) = store.upgrade() {
        if let Err(error) = rewrap_as_one(&inner).await {
            tracing::warn!(%error, "data keys were not all rewrapped; this is tried again");
        }
        drop(inner);
        tokio::time::sleep(every).await;
    }
}

/// Rewraps, unless another replica does.
async fn rewrap_as_one(inner: &Inner) -> Result<(), SqlError> {
    if older_keys(inner).await?.is_empty() {
        return Ok(());
    }
    let now = inner.clock.now();
    let ends = now.saturating_add(jiff::SignedDuration::try_from(LEASE_FOR).unwrap_or(jiff::SignedDuration::MAX));
    let ends = ends.unwrap_or(jiff::Timestamp::MAX);
    let Some(fence) = inner.rows.take_lease(LEASE, now, ends).await? else {
        return Ok(());
    };
    let done = tokio::time::timeout(LEASE_FOR, rewrap(inner)).await;
    inner.rows.release_lease(LEASE, fence).await?;
    if let Ok(done) = done {
        done?;
    }
    Ok(())
}

/// The keys other than the current one that something may be wrapped with.
async fn older_keys(inner: &Inner) -> Result<Vec<String>, SqlError> {
    let current = inner.envelopes.current().await?;
    let probes = inner.rows.probes().await?;
    let older = probes
        .into_iter()
        .filter(|probe| probe.key_id != current.as_str() || probe.data_key.is_none());
    Ok(older.map(|probe| probe.key_id).collect())
}

async fn rewrap(inner: &Inner) -> Result<Rewrapped, SqlError> {
    let mut done = Rewrapped::default();
    let mut unused = BTreeSet::new();
    for _ in 0..PASSES {
        let older = older_keys(inner).await?;
        if older.is_empty() {
            break;
        }
        let current = inner.envelopes.current().await?;
        tracing::info!(current = %current, older = ?older, "rewrapping data keys");
        done.failed = 0;
        for table in [SealedTable::Secrets, SealedTable::OneTime] {
            pass(inner, table, &current, &mut done).await?;
        }
        unused.extend(inner.rows.forget_keys(current.as_str()).await?);
        if done.failed > 0 {
            break;
        }
    }
    done.in_use = older_keys(inner).await?;
    // A key that sealed directly may be the one that wraps now.
    unused.remove(inner.envelopes.current().await?.as_str());
    done.unused = unused.into_iter().filter(|key| !done.in_use.contains(key)).collect();
    if done != Rewrapped::default() {
        tracing::info!(
            rewrapped = done.rewrapped, failed = done.failed, unused = ?done.unused, in_use = ?done.in_use,
            "rewrapped data keys"
        );
    }
    Ok(done)
}

/// Goes through a table once.
async fn pass(inner: &Inner, table: SealedTable, current: &KeyId, done: &mut Rewrapped) -> Result<(), SqlError> {
    let mut after = String::new();
    loop {
        let old = inner.rows.old_wraps(table, current.as_str(), &after, BATCH).await?;
        let Some(last) = old.last() else {
            return Ok(());
        };
        after.clone_from(&last.key);

        let mut wrapping = stream::iter(old)
            .map(|row| wrap_again(inner, table, row))
            .buffer_unordered(CALLS);
        let (mut rows, mut probe) = (Vec::new(), None);
        while let Some(wrapped) = wrapping.next().await {
            match wrapped? {
                // The provider has a newer key since: that row is for the next pass.
                Some((row, _)) if row.wrapped.key_id != current.as_str() => {}
                Some((row, own)) => {
                    probe = Some(own);
                    rows.push(row);
                }
                None => done.failed += 1,
            }
        }
        if let Some(probe) = probe {
            done.rewrapped += inner.rows.rewrap(table, &probe, &rows).await?;
        }
        tracing::debug!(
            ?table,
            rewrapped = done.rewrapped,
            failed = done.failed,
            "rewrapped a batch of data keys"
        );
    }
}

/// Wraps the data key of a record again; `None` if the record does not open.
async fn wrap_again(
    inner: &Inner,
    table: SealedTable,
    old: OldWrapRow,
) -> Result<Option<(NewWrapRow, Arc<ProbeRow>)>, SqlError> {
    let wrapped = match (&old.direct, &old.wrapped) {
        (Some(sealed), _) => seal_again(inner, &old, sealed).await,
        (None, Some(wrapped)) => {
            let identity = match table {
                SealedTable::Secrets => credentials::identity(&old.key),
                SealedTable::OneTime => one_time::identity(&old.key),
            };
            let wrapped = inner.envelopes.rewrap(identity, wrapped).await;
            wrapped.map(|(wrapped, probe)| (None, wrapped, probe))
        }
        (None, None) => Err(crate::seal::SealError::Changed.into()),
    };
    match wrapped {
        Ok((sealed, wrapped, probe)) => Ok(Some((NewWrapRow { old, sealed, wrapped }, probe))),
        Err(OpenError::Provider(error)) if error.is_retryable() => Err(error.into()),
        Err(error) => {
            tracing::error!(?table, key = old.key, %error, "a record does not open, and is not rewrapped");
            Ok(None)
        }
    }
}

type Sealed = (Option<Vec<u8>>, crate::rows::WrappedRow, Arc<ProbeRow>);

/// Seals under a data key what a key sealed directly.
async fn seal_again(inner: &Inner, old: &OldWrapRow, sealed: &[u8]) -> Result<Sealed, OpenError> {
    let purpose = credentials::direct_purpose(&old.key, old.state.unsigned_abs());
    let text = inner.envelopes.open_direct(&purpose, sealed)?;
    let envelope = inner.envelopes.create(credentials::identity(&old.key)).await?;
    let sealed = envelope.seal(old.state.into(), text.bytes())?;
    let (wrapped, probe) = envelope.into_parts();
    Ok((Some(sealed), wrapped, probe))
}
