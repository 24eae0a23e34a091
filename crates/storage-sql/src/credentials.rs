//! The credential store. It seals secrets before a dialect sees them.

use std::time::Duration;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use portolan_core::{
    CredentialKey, CredentialReader, CredentialStore, Error, Lease, Precondition, Result, Secret, Version, Versioned,
};

use crate::{SqlStore, envelope::Identity, error::SqlError, rows::SealedRow, seal::OpenError};

/// The most bytes of a secret.
const MAX_SECRET: usize = 1 << 20;
/// The first byte of a text that a key sealed directly.
pub(crate) const DIRECT: u8 = 1;

#[async_trait]
impl CredentialReader for SqlStore {
    async fn read(&self, key: &CredentialKey) -> Result<Option<Versioned<Secret>>> {
        let Some((version, row)) = self.inner.rows.secret(key.as_str()).await? else {
            return Ok(None);
        };
        let value = self.open_secret(key.as_str(), version, &row).await?;
        Ok(Some(Versioned { value, version }))
    }
}

impl SqlStore {
    /// Opens a sealed secret.
    pub(crate) async fn open_secret(&self, key: &str, version: Version, row: &SealedRow) -> Result<Secret> {
        let inner = &self.inner;
        let opened = match row.sealed.first() {
            Some(&DIRECT) => inner
                .envelopes
                .open_direct(&direct_purpose(key, version.0.get()), &row.sealed)
                .map_err(OpenError::from),
            _ => {
                let state = i128::from(version.0.get());
                let wrapped = row.wrapped.as_ref();
                inner.envelopes.open(identity(key), state, &row.sealed, wrapped).await
            }
        };
        let opened = opened.and_then(|text| Ok(text.into_secret()?));
        opened.map_err(|source| {
            let error = SqlError::Seal {
                place: inner.rows.place().into(),
                action: format!("open the secret {key:?}"),
                source: Box::new(source),
            };
            error.into()
        })
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
        // Before the transaction, which must not wait for a provider.
        let envelope = inner.envelopes.create(identity(key.as_str())).await?;
        let seal = |version: Version| {
            let state = i128::from(version.0.get());
            Ok(envelope.seal(state, secret.reveal().as_bytes())?)
        };
        let with = envelope.with();
        let version = inner.rows.put_secret(key.as_str(), when, with, &seal).await?;
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

/// What a sealed secret is bound to, with its version: under another key or in another version it does not open.
pub(crate) fn identity(key: &str) -> Identity<'_> {
    Identity { kind: "secret", key }
}

/// The same for a secret that a key sealed directly.
pub(crate) fn direct_purpose(key: &str, version: u64) -> String {
    format!("portolan secret v1\0{key}\0{version}")
}

fn later(now: Timestamp, ttl: Duration) -> Timestamp {
    let ttl = SignedDuration::try_from(ttl).unwrap_or(SignedDuration::MAX);
    now.saturating_add(ttl).unwrap_or(Timestamp::MAX)
}
