//! The messages of the bus.

use async_trait::async_trait;
use jiff::Timestamp;

use super::{Database, micros, sql};
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
        let after = i64::try_from(after).unwrap_or(i64::MAX);
        let query = sqlx::query_as(sql!("message_list")).bind(after).bind(MESSAGES);
        let rows: sqlx::Result<Vec<(i64, String, Vec<u8>)>> = query.fetch_all(&self.readers).await;
        let rows = rows.map_err(self.fault("read messages"))?;
        let row = |(id, topic, body): (i64, String, Vec<u8>)| MessageRow {
            id: id.unsigned_abs(),
            topic: topic.into(),
            body: body.into(),
        };
        Ok(rows.into_iter().map(row).collect())
    }

    async fn newest_message(&self) -> Result<u64> {
        let head: sqlx::Result<i64> = sqlx::query_scalar(sql!("message_head")).fetch_one(&self.readers).await;
        Ok(head.map_err(self.fault("read messages"))?.unsigned_abs())
    }

    async fn sweep_messages(&self, before: Timestamp) -> Result<()> {
        self.drop_messages(before).await.map_err(self.fault("sweep messages"))
    }
}

impl Database {
    async fn insert_message(&self, topic: &str, body: &[u8], now: Timestamp) -> sqlx::Result<u64> {
        let mut tx = self.write().await?;
        let add = sqlx::query_scalar(sql!("message_add"))
            .bind(topic)
            .bind(body)
            .bind(micros(now));
        let id: i64 = add.fetch_one(&mut *tx).await?;
        tx.commit().await?;
        Ok(id.unsigned_abs())
    }

    async fn drop_messages(&self, before: Timestamp) -> sqlx::Result<()> {
        let mut tx = self.write().await?;
        let sweep = sqlx::query(sql!("message_sweep"))
            .bind(micros(before))
            .bind(MAX_MESSAGES);
        sweep.execute(&mut *tx).await?;
        tx.commit().await
    }
}
