//! Sealed secrets and leases.

use async_trait::async_trait;
use jiff::Timestamp;
use portolan_core::{Precondition, Version};

use super::{Database, condition, micros, sealed, version};
use crate::{
    error::Result,
    rows::{SealAs, SealedRow, SecretRows, WrappedWith},
};

type Columns = (i64, Vec<u8>, Option<String>, Option<Vec<u8>>);

#[async_trait]
impl SecretRows for Database {
    async fn secret(&self, key: &str) -> Result<Option<(Version, SealedRow)>> {
        self.read_secret(key).await.map_err(self.fault("read a secret"))
    }

    async fn put_secret(
        &self,
        key: &str,
        when: Precondition,
        with: WrappedWith<'_>,
        seal: SealAs<'_>,
    ) -> Result<Option<Version>> {
        self.seal_and_put(key, when, with, seal)
            .await
            .map_err(self.fault("write a secret"))
    }

    async fn remove_secret(&self, key: &str) -> Result<()> {
        self.drop_secret(key).await.map_err(self.fault("remove a secret"))
    }

    async fn secret_keys(&self, prefix: &str, after: &str, limit: usize) -> Result<Vec<String>> {
        self.list_secrets(prefix, after, limit)
            .await
            .map_err(self.fault("list secrets"))
    }

    async fn take_lease(&self, key: &str, now: Timestamp, ends: Timestamp) -> Result<Option<u64>> {
        self.lease_until(key, now, ends)
            .await
            .map_err(self.fault("take a lease"))
    }

    async fn release_lease(&self, key: &str, fence: u64) -> Result<()> {
        self.end_lease(key, fence)
            .await
            .map_err(self.fault("give a lease back"))
    }
}

impl Database {
    async fn read_secret(&self, key: &str) -> sqlx::Result<Option<(Version, SealedRow)>> {
        let mut reading = self.read().await?;
        let query = self.query_as::<Columns>(&self.sql.secret_get).bind(key);
        let row = query.fetch_optional(&mut *reading).await?;
        reading.end().await?;
        row.map(|(number, text, key_id, data_key)| Ok((version(number)?, sealed(text, key_id, data_key))))
            .transpose()
    }

    async fn seal_and_put(
        &self,
        key: &str,
        when: Precondition,
        with: WrappedWith<'_>,
        seal: SealAs<'_>,
    ) -> sqlx::Result<Option<Version>> {
        let sql = match when {
            Precondition::None => &self.sql.secret_put,
            Precondition::Absent => &self.sql.secret_add,
            Precondition::Version(_) => &self.sql.secret_replace,
        };
        let mut tx = self.write().await?;
        let number = self.next_version(&mut tx).await?;
        let next = version(number)?;
        let sealed = seal(next).map_err(sqlx::Error::Encode)?;
        self.write_probe(&mut tx, with.probe).await?;
        let put = self.query(sql).bind(key).bind(number).bind(sealed);
        let mut put = put
            .bind(with.wrapped.key_id.clone())
            .bind(with.wrapped.data_key.clone());
        if let (2, wanted) = condition(when) {
            put = put.bind(wanted);
        }
        if put.execute(&mut *tx).await?.rows_affected() == 0 {
            tx.rollback().await?;
            return Ok(None);
        }
        tx.commit().await?;
        Ok(Some(next))
    }

    async fn drop_secret(&self, key: &str) -> sqlx::Result<()> {
        let mut tx = self.write().await?;
        let remove = self.query(&self.sql.secret_remove).bind(key);
        remove.execute(&mut *tx).await?;
        tx.commit().await
    }

    async fn list_secrets(&self, prefix: &str, after: &str, limit: usize) -> sqlx::Result<Vec<String>> {
        // PostgreSQL's text has no NUL, so no key does.
        if prefix.contains('\0') {
            return Ok(Vec::new());
        }
        // Keys are ASCII, so this stands behind all that begin with the prefix.
        let end = format!("{prefix}\u{10ffff}");
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let mut reading = self.read().await?;
        let query = self
            .query_scalar(&self.sql.secret_keys)
            .bind(prefix)
            .bind(end)
            .bind(after)
            .bind(limit);
        let keys = query.fetch_all(&mut *reading).await?;
        reading.end().await?;
        Ok(keys)
    }

    async fn lease_until(&self, key: &str, now: Timestamp, ends: Timestamp) -> sqlx::Result<Option<u64>> {
        let mut tx = self.write().await?;
        let fence: i64 = self.query_scalar(&self.sql.fence_next).fetch_one(&mut *tx).await?;
        let sweep = self.query(&self.sql.lease_sweep).bind(micros(now));
        sweep.execute(&mut *tx).await?;
        let take = self
            .query(&self.sql.lease_take)
            .bind(key)
            .bind(fence)
            .bind(micros(ends));
        if take.execute(&mut *tx).await?.rows_affected() == 0 {
            tx.rollback().await?;
            return Ok(None);
        }
        tx.commit().await?;
        Ok(Some(fence.unsigned_abs()))
    }

    async fn end_lease(&self, key: &str, fence: u64) -> sqlx::Result<()> {
        let Ok(fence) = i64::try_from(fence) else {
            return Ok(());
        };
        let mut tx = self.write().await?;
        let release = self.query(&self.sql.lease_release).bind(key).bind(fence);
        release.execute(&mut *tx).await?;
        tx.commit().await
    }
}
