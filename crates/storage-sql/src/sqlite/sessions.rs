//! The state of sessions.

use async_trait::async_trait;
use jiff::Timestamp;
use portolan_core::{Precondition, Version};

use super::{Database, micros, next_number, sql, version};
use crate::{
    error::Result,
    rows::{BlobRow, SessionRows, holds},
};

/// So many expired states are removed in one transaction.
const SWEEP: i64 = 1_000;

#[async_trait]
impl SessionRows for Database {
    async fn session(&self, key: &str, now: Timestamp) -> Result<Option<BlobRow>> {
        let query = sqlx::query_as(sql!("session_get")).bind(key).bind(micros(now));
        let row: sqlx::Result<Option<(i64, Vec<u8>)>> = query.fetch_optional(&self.readers).await;
        let row = row.and_then(|row| row.map(|(number, blob)| Ok((version(number)?, blob))).transpose());
        let row = row.map_err(self.fault("read a session"))?;
        Ok(row.map(|(version, blob)| BlobRow { version, blob }))
    }

    async fn put_session(
        &self,
        key: &str,
        state: &[u8],
        expires: Timestamp,
        now: Timestamp,
        when: Precondition,
    ) -> Result<Option<Version>> {
        let put = self.write_session(key, state, [expires, now], when).await;
        put.map_err(self.fault("write a session"))
    }

    async fn remove_session(&self, key: &str) -> Result<()> {
        self.drop_session(key).await.map_err(self.fault("remove a session"))
    }

    async fn sweep_sessions(&self, now: Timestamp) -> Result<u64> {
        let mut swept = 0;
        loop {
            match self.sweep_some(now).await.map_err(self.fault("sweep sessions"))? {
                0 => return Ok(swept),
                some => swept += some,
            }
        }
    }
}

impl Database {
    async fn write_session(
        &self,
        key: &str,
        state: &[u8],
        [expires, now]: [Timestamp; 2],
        when: Precondition,
    ) -> sqlx::Result<Option<Version>> {
        let mut tx = self.write().await?;
        let query = sqlx::query_scalar(sql!("session_version")).bind(key).bind(micros(now));
        let current = query.fetch_optional(&mut *tx).await?.map(version).transpose()?;
        if !holds(when, current) {
            tx.rollback().await?;
            return Ok(None);
        }
        let number = next_number(&mut tx).await?;
        let put = sqlx::query(sql!("session_put"))
            .bind(key)
            .bind(number)
            .bind(micros(expires))
            .bind(state);
        put.execute(&mut *tx).await?;
        tx.commit().await?;
        version(number).map(Some)
    }

    async fn drop_session(&self, key: &str) -> sqlx::Result<()> {
        let mut tx = self.write().await?;
        sqlx::query(sql!("session_remove")).bind(key).execute(&mut *tx).await?;
        tx.commit().await
    }

    async fn sweep_some(&self, now: Timestamp) -> sqlx::Result<u64> {
        let mut tx = self.write().await?;
        let sweep = sqlx::query(sql!("session_sweep")).bind(micros(now)).bind(SWEEP);
        let swept = sweep.execute(&mut *tx).await?.rows_affected();
        tx.commit().await?;
        Ok(swept)
    }
}
