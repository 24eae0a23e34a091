//! Sealed secrets and leases.

use async_trait::async_trait;
use jiff::Timestamp;
use portolan_core::{Precondition, Version};

use super::{Database, keys::write_probe, micros, next_number, sealed, sql, version};
use crate::{
    error::Result,
    rows::{SealAs, SealedRow, SecretRows, WrappedWith, holds},
};

#[async_trait]
impl SecretRows for Database {
    async fn secret(&self, key: &str) -> Result<Option<(Version, SealedRow)>> {
        let query = sqlx::query_as(sql!("secret_get")).bind(key);
        let row: sqlx::Result<Option<SecretColumns>> = query.fetch_optional(&self.readers).await;
        row.and_then(|row| row.map(secret).transpose())
            .map_err(self.fault("read a secret"))
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
        // Keys are ASCII, so this stands behind all that begin with the prefix.
        let end = format!("{prefix}\u{10ffff}");
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let query = sqlx::query_scalar(sql!("secret_keys"))
            .bind(prefix)
            .bind(end)
            .bind(after)
            .bind(limit);
        query.fetch_all(&self.readers).await.map_err(self.fault("list secrets"))
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
    async fn seal_and_put(
        &self,
        key: &str,
        when: Precondition,
        with: WrappedWith<'_>,
        seal: SealAs<'_>,
    ) -> sqlx::Result<Option<Version>> {
        let mut tx = self.write().await?;
        let query = sqlx::query_scalar(sql!("secret_version")).bind(key);
        let current = query.fetch_optional(&mut *tx).await?.map(version).transpose()?;
        if !holds(when, current) {
            tx.rollback().await?;
            return Ok(None);
        }
        let number = next_number(&mut tx).await?;
        let next = version(number)?;
        let sealed = seal(next).map_err(sqlx::Error::Encode)?;
        write_probe(&mut tx, with.probe).await?;
        let put = sqlx::query(sql!("secret_put"))
            .bind(key)
            .bind(number)
            .bind(sealed)
            .bind(&with.wrapped.key_id)
            .bind(&with.wrapped.data_key);
        put.execute(&mut *tx).await?;
        tx.commit().await?;
        Ok(Some(next))
    }

    async fn drop_secret(&self, key: &str) -> sqlx::Result<()> {
        let mut tx = self.write().await?;
        sqlx::query(sql!("secret_remove")).bind(key).execute(&mut *tx).await?;
        tx.commit().await
    }

    async fn lease_until(&self, key: &str, now: Timestamp, ends: Timestamp) -> sqlx::Result<Option<u64>> {
        let mut tx = self.write().await?;
        // All that ended, so that leases of holders that died do not pile up.
        sqlx::query(sql!("lease_sweep"))
            .bind(micros(now))
            .execute(&mut *tx)
            .await?;
        let fence = next_number(&mut tx).await?;
        let take = sqlx::query(sql!("lease_take")).bind(key).bind(fence).bind(micros(ends));
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
        sqlx::query(sql!("lease_release"))
            .bind(key)
            .bind(fence)
            .execute(&mut *tx)
            .await?;
        tx.commit().await
    }
}

type SecretColumns = (i64, Vec<u8>, Option<String>, Option<Vec<u8>>);

pub(super) fn listed(
    (key, number, text, key_id, data_key): (String, i64, Vec<u8>, Option<String>, Option<Vec<u8>>),
) -> sqlx::Result<(String, Version, SealedRow)> {
    let (version, row) = secret((number, text, key_id, data_key))?;
    Ok((key, version, row))
}

fn secret((number, text, key_id, data_key): SecretColumns) -> sqlx::Result<(Version, SealedRow)> {
    Ok((version(number)?, sealed((text, key_id, data_key))))
}
