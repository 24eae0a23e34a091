//! The state of sessions.

use async_trait::async_trait;
use jiff::Timestamp;
use portolan_core::{Precondition, Version};

use super::{Database, micros, version};
use crate::{
    error::Result,
    rows::{BlobRow, SessionRows},
};

/// So many expired states are removed in one transaction.
const SWEEP: i64 = 1_000;

#[async_trait]
impl SessionRows for Database {
    async fn session(&self, key: &str, now: Timestamp) -> Result<Option<BlobRow>> {
        self.read_session(key, now).await.map_err(self.fault("read a session"))
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
    async fn read_session(&self, key: &str, now: Timestamp) -> sqlx::Result<Option<BlobRow>> {
        let mut reading = self.read().await?;
        let query = self
            .query_as(&self.sql.session_get)
            .bind(key.as_bytes())
            .bind(micros(now));
        let row = query.fetch_optional(&mut *reading).await?;
        reading.end().await?;
        row.map(|(number, blob)| {
            let version = version(number)?;
            Ok(BlobRow { version, blob })
        })
        .transpose()
    }

    async fn write_session(
        &self,
        key: &str,
        state: &[u8],
        [expires, now]: [Timestamp; 2],
        when: Precondition,
    ) -> sqlx::Result<Option<Version>> {
        let sql = match when {
            Precondition::None => &self.sql.session_put,
            Precondition::Absent => &self.sql.session_add,
            Precondition::Version(_) => &self.sql.session_replace,
        };
        let mut tx = self.write().await?;
        let number = self.next_version(&mut tx).await?;
        let put = self.query(sql).bind(key.as_bytes()).bind(number);
        let put = put.bind(micros(expires)).bind(state);
        let put = match when {
            Precondition::None => put,
            Precondition::Absent => put.bind(micros(now)),
            Precondition::Version(wanted) => {
                // No stored version is negative.
                let wanted = i64::try_from(wanted.0.get()).unwrap_or(-1);
                put.bind(micros(now)).bind(wanted)
            }
        };
        if put.execute(&mut *tx).await?.rows_affected() == 0 {
            tx.rollback().await?;
            return Ok(None);
        }
        tx.commit().await?;
        version(number).map(Some)
    }

    async fn drop_session(&self, key: &str) -> sqlx::Result<()> {
        let mut tx = self.write().await?;
        let remove = self.query(&self.sql.session_remove).bind(key.as_bytes());
        remove.execute(&mut *tx).await?;
        tx.commit().await
    }

    async fn sweep_some(&self, now: Timestamp) -> sqlx::Result<u64> {
        let mut tx = self.write().await?;
        let sweep = self.query(&self.sql.session_sweep).bind(micros(now)).bind(SWEEP);
        let swept = sweep.execute(&mut *tx).await?.rows_affected();
        tx.commit().await?;
        Ok(swept)
    }
}
