//! The messages of the bus.

use async_trait::async_trait;
use jiff::Timestamp;

use super::{Database, micros};
use crate::{
    error::Result,
    rows::{MAX_MESSAGES, MESSAGES, MessageRow, MessageRows},
};

#[async_trait]
impl MessageRows for Database {
    async fn add_message(&self, topic: &str, body: &[u8], now: Timestamp) -> Result<u64> {
        self.insert_message(topic, body, now)
            .await
            .map_err(self.fault("publish a message"))
    }

    async fn messages(&self, after: u64) -> Result<Vec<MessageRow>> {
        self.messages_after(after).await.map_err(self.fault("read messages"))
    }

    async fn newest_message(&self) -> Result<u64> {
        self.message_head().await.map_err(self.fault("read messages"))
    }

    async fn sweep_messages(&self, before: Timestamp) -> Result<()> {
        self.drop_messages(before).await.map_err(self.fault("sweep messages"))
    }
}

impl Database {
    async fn insert_message(&self, topic: &str, body: &[u8], now: Timestamp) -> sqlx::Result<u64> {
        let add = self
            .query_scalar(&self.sql.message_add)
            .bind(topic.as_bytes())
            .bind(body)
            .bind(micros(now));
        if !self.pooled {
            let id: i64 = add.fetch_one(&self.pool).await?;
            return Ok(id.unsigned_abs());
        }
        let mut tx = self.write().await?;
        let id: i64 = add.fetch_one(&mut *tx).await?;
        tx.commit().await?;
        Ok(id.unsigned_abs())
    }

    async fn messages_after(&self, after: u64) -> sqlx::Result<Vec<MessageRow>> {
        let after = i64::try_from(after).unwrap_or(i64::MAX);
        let mut reading = self.read().await?;
        let query = self.query_as(&self.sql.message_list).bind(after).bind(MESSAGES);
        let rows: Vec<(i64, Vec<u8>, Vec<u8>)> = query.fetch_all(&mut *reading).await?;
        reading.end().await?;
        let row = |(id, topic, body): (i64, _, Vec<u8>)| MessageRow {
            id: id.unsigned_abs(),
            topic,
            body: body.into(),
        };
        Ok(rows.into_iter().map(row).collect())
    }

    async fn message_head(&self) -> sqlx::Result<u64> {
        let mut reading = self.read().await?;
        let head: i64 = self
            .query_scalar(&self.sql.message_head)
            .fetch_one(&mut *reading)
            .await?;
        reading.end().await?;
        Ok(head.unsigned_abs())
    }

    async fn drop_messages(&self, before: Timestamp) -> sqlx::Result<()> {
        let mut tx = self.write().await?;
        let sweep = self
            .query(&self.sql.message_sweep)
            .bind(micros(before))
            .bind(MAX_MESSAGES);
        sweep.execute(&mut *tx).await?;
        tx.commit().await
    }
}
