//! Records that are taken once.

use async_trait::async_trait;
use jiff::Timestamp;

use super::{Database, keys::write_probe, micros, sealed, sql};
use crate::{
    error::Result,
    rows::{OneTimeRows, SealedRow, WrappedWith},
};

/// So many expired records are removed in one transaction.
const SWEEP: i64 = 1_000;
/// So many expired records each write removes, so that they do not pile up where nobody sweeps.
const SWEEP_BY_WRITES: i64 = 4;

#[async_trait]
impl OneTimeRows for Database {
    async fn put_one_time(
        &self,
        key: &str,
        expires: Timestamp,
        now: Timestamp,
        sealed: &[u8],
        with: Option<WrappedWith<'_>>,
    ) -> Result<bool> {
        let put = self.write_one_time(key, [expires, now], sealed, with).await;
        put.map_err(self.fault("write a one-time record"))
    }

    async fn one_time(&self, key: &str, now: Timestamp) -> Result<Option<(i64, SealedRow)>> {
        let query = sqlx::query_as(sql!("one_time_get")).bind(key).bind(micros(now));
        let row = query.fetch_optional(&self.readers).await;
        let row = row.map_err(self.fault("read a one-time record"))?;
        Ok(row.map(|(expires, text, key_id, data_key)| (expires, sealed((text, key_id, data_key)))))
    }

    async fn take_one_time(&self, key: &str, expires: i64, sealed: &[u8]) -> Result<bool> {
        let taken = self.remove_one_time(key, expires, sealed).await;
        taken.map_err(self.fault("take a one-time record"))
    }

    async fn sweep_one_time(&self, now: Timestamp) -> Result<u64> {
        let mut swept = 0;
        loop {
            let some = self.sweep_some_one_time(now).await;
            match some.map_err(self.fault("sweep one-time records"))? {
                0 => return Ok(swept),
                some => swept += some,
            }
        }
    }
}

impl Database {
    async fn write_one_time(
        &self,
        key: &str,
        [expires, now]: [Timestamp; 2],
        sealed: &[u8],
        with: Option<WrappedWith<'_>>,
    ) -> sqlx::Result<bool> {
        let mut tx = self.write().await?;
        let sweep = sqlx::query(sql!("one_time_sweep"))
            .bind(micros(now))
            .bind(SWEEP_BY_WRITES);
        sweep.execute(&mut *tx).await?;
        if let Some(with) = with {
            write_probe(&mut tx, with.probe).await?;
        }
        let put = sqlx::query(sql!("one_time_put"))
            .bind(key)
            .bind(micros(expires))
            .bind(sealed)
            .bind(with.map(|with| with.wrapped.key_id.as_str()))
            .bind(with.map(|with| with.wrapped.data_key.as_slice()))
            .bind(micros(now));
        let put = put.execute(&mut *tx).await?.rows_affected() == 1;
        tx.commit().await?;
        Ok(put)
    }

    async fn remove_one_time(&self, key: &str, expires: i64, sealed: &[u8]) -> sqlx::Result<bool> {
        let mut tx = self.write().await?;
        let take = sqlx::query(sql!("one_time_take")).bind(key).bind(expires).bind(sealed);
        let taken = take.execute(&mut *tx).await?.rows_affected() == 1;
        tx.commit().await?;
        Ok(taken)
    }

    async fn sweep_some_one_time(&self, now: Timestamp) -> sqlx::Result<u64> {
        let mut tx = self.write().await?;
        let sweep = sqlx::query(sql!("one_time_sweep")).bind(micros(now)).bind(SWEEP);
        let swept = sweep.execute(&mut *tx).await?.rows_affected();
        tx.commit().await?;
        Ok(swept)
    }
}
