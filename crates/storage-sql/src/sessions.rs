//! The session store.

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use portolan_core::{Error, Precondition, Result, SessionStore, Version, Versioned};

use crate::SqlStore;

/// The most bytes of a key.
const MAX_KEY: usize = 1 << 10;
/// The most bytes of a state.
const MAX_STATE: usize = 1 << 20;

#[async_trait]
impl SessionStore for SqlStore {
    async fn get(&self, key: &str, now: Timestamp) -> Result<Option<Versioned<Bytes>>> {
        let row = self.inner.rows.session(key, now).await?;
        Ok(row.map(|row| Versioned {
            value: row.blob.into(),
            version: row.version,
        }))
    }

    async fn put(
        &self,
        key: &str,
        state: Bytes,
        expires: Timestamp,
        now: Timestamp,
        when: Precondition,
    ) -> Result<Version> {
        check("session key", key.len(), MAX_KEY)?;
        check("session state", state.len(), MAX_STATE)?;
        let version = self.inner.rows.put_session(key, &state, expires, now, when).await?;
        version.ok_or_else(|| Error::conflict("session", key))
    }

    async fn remove(&self, key: &str) -> Result<()> {
        Ok(self.inner.rows.remove_session(key).await?)
    }

    async fn sweep(&self, now: Timestamp) -> Result<u64> {
        Ok(self.inner.rows.sweep_sessions(now).await?)
    }
}

fn check(field: &str, size: usize, limit: usize) -> Result<()> {
    if size <= limit {
        return Ok(());
    }
    Err(Error::invalid(field, format!("has {size} bytes; at most {limit} fit")))
}
