//! A credential store in memory.

use std::{collections::BTreeMap, fmt, ops::Bound, sync::Mutex, time::Duration};

use async_trait::async_trait;
use tokio::time::Instant;

use super::{Versions, check, lock};
use crate::{
    CredentialKey, CredentialReader, CredentialStore, Error, Lease, Precondition, Result, Secret, Version, Versioned,
};

/// A [`CredentialStore`] in memory. `Debug` shows the keys.
#[derive(Default)]
pub struct MemoryCredentials(Mutex<Secrets>);

#[derive(Default)]
struct Secrets {
    versions: Versions,
    secrets: BTreeMap<CredentialKey, Versioned<Secret>>,
    /// One counter for all keys, so that it grows for each.
    last_fence: u64,
    /// Fence and end of each lease. Ended leases are removed when the next one is taken.
    leases: BTreeMap<CredentialKey, (u64, Instant)>,
}

impl MemoryCredentials {
    /// Creates an empty store.
    ///
    /// ```
    /// let store = portolan_core::memory::MemoryCredentials::new();
    /// ```
    pub fn new() -> Self {
        Self::default()
    }
}

#[async_trait]
impl CredentialReader for MemoryCredentials {
    async fn read(&self, key: &CredentialKey) -> Result<Option<Versioned<Secret>>> {
        Ok(lock(&self.0).secrets.get(key).cloned())
    }
}

#[async_trait]
impl CredentialStore for MemoryCredentials {
    async fn put(&self, key: &CredentialKey, secret: Secret, when: Precondition) -> Result<Version> {
        let mut kept = lock(&self.0);
        let now = kept.secrets.get(key).map(|secret| secret.version);
        check(when, now, || Error::conflict("credential", key))?;
        let version = kept.versions.next();
        kept.secrets.insert(key.clone(), Versioned { value: secret, version });
        Ok(version)
    }

    async fn remove(&self, key: &CredentialKey) -> Result<()> {
        lock(&self.0).secrets.remove(key);
        Ok(())
    }

    async fn keys(&self, prefix: &str, after: Option<&CredentialKey>, limit: usize) -> Result<Vec<CredentialKey>> {
        let kept = lock(&self.0);
        let after = after.map_or(Bound::Unbounded, Bound::Excluded);
        let keys = kept.secrets.range((after, Bound::Unbounded)).map(|(key, _)| key);
        Ok(keys
            .filter(|key| key.as_str().starts_with(prefix))
            .take(limit)
            .cloned()
            .collect())
    }

    async fn lease(&self, key: &CredentialKey, ttl: Duration) -> Result<Option<Lease>> {
        let mut kept = lock(&self.0);
        let now = Instant::now();
        kept.leases.retain(|_, (_, end)| now < *end);
        if kept.leases.contains_key(key) {
            return Ok(None);
        }
        kept.last_fence += 1;
        let fence = kept.last_fence;
        kept.leases.insert(key.clone(), (fence, now + ttl));
        Ok(Some(Lease {
            key: key.clone(),
            fence,
        }))
    }

    async fn release(&self, lease: Lease) -> Result<()> {
        let mut kept = lock(&self.0);
        if kept
            .leases
            .get(&lease.key)
            .is_some_and(|(fence, _)| *fence == lease.fence)
        {
            kept.leases.remove(&lease.key);
        }
        Ok(())
    }
}

impl fmt::Debug for MemoryCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(lock(&self.0).secrets.keys()).finish()
    }
}
