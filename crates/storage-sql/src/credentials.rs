//! The credential store. It seals secrets before a dialect sees them.

use std::time::Duration;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use portolan_core::{
    CredentialKey, CredentialReader, CredentialStore, Error, Lease, Precondition, Result, Secret, Version, Versioned,
};

use crate::{SqlStore, error::SqlError};

/// The most bytes of a secret.
const MAX_SECRET: usize = 1 << 20;

#[async_trait]
impl CredentialReader for SqlStore {
    async fn read(&self, key: &CredentialKey) -> Result<Option<Versioned<Secret>>> {
        let inner = &self.inner;
        let Some(row) = inner.rows.secret(key.as_str()).await? else {
            return Ok(None);
        };
        let text = inner.keys.open(&purpose(key, row.version), &row.blob);
        let value = text
            .and_then(|text| text.into_secret())
            .map_err(|source| SqlError::Seal {
                place: inner.rows.place().into(),
                action: format!("open the secret {:?}", key.as_str()),
                source,
            })?;
        let version = row.version;
        Ok(Some(Versioned { value, version }))
    }
}

#[async_trait]
impl CredentialStore for SqlStore {
    async fn put(&self, key: &CredentialKey, secret: Secret, when: Precondition) -> Result<Version> {
        let size = secret.reveal().len();
        if size > MAX_SECRET {
            let problem = format!("{:?} has {size} bytes; at most {MAX_SECRET} fit", key.as_str());
            return Err(Error::invalid("secret", problem));
        }
        let inner = &self.inner;
        let seal = |version| Ok(inner.keys.seal(&purpose(key, version), secret.reveal().as_bytes())?);
        let version = inner.rows.put_secret(key.as_str(), when, &seal).await?;
        version.ok_or_else(|| Error::conflict("secret", key))
    }

    async fn remove(&self, key: &CredentialKey) -> Result<()> {
        Ok(self.inner.rows.remove_secret(key.as_str()).await?)
    }

    async fn keys(&self, prefix: &str, after: Option<&CredentialKey>, limit: usize) -> Result<Vec<CredentialKey>> {
        let after = after.map_or("", CredentialKey::as_str);
        let keys = self.inner.rows.secret_keys(prefix, after, limit).await?;
        keys.into_iter().map(CredentialKey::parse).collect()
    }

    async fn lease(&self, key: &CredentialKey, ttl: Duration) -> Result<Option<Lease>> {
        let now = self.inner.clock.now();
        let fence = self.inner.rows.take_lease(key.as_str(), now, later(now, ttl)).await?;
        Ok(fence.map(|fence| Lease {
            key: key.clone(),
            fence,
        }))
    }

    async fn release(&self, lease: Lease) -> Result<()> {
        Ok(self.inner.rows.release_lease(lease.key.as_str(), lease.fence).await?)
    }
}

/// The associated data of a sealed secret: under another key or in another version it does not open.
fn purpose(key: &CredentialKey, version: Version) -> String {
    format!("portolan secret v1\0{key}\0{}", version.0)
}

fn later(now: Timestamp, ttl: Duration) -> Timestamp {
    let ttl = SignedDuration::try_from(ttl).unwrap_or(SignedDuration::MAX);
    now.saturating_add(ttl).unwrap_or(Timestamp::MAX)
}
