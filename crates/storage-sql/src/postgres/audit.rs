//! Audit records, in partitions by month.

use async_trait::async_trait;
use jiff::Timestamp;

use super::{Database, micros};
use crate::{
    error::Result,
    rows::{AuditFilter, AuditRow, AuditRows, StoredAuditRow},
};

#[async_trait]
impl AuditRows for Database {
    async fn add_audit(&self, rows: &[AuditRow]) -> Result<()> {
        self.write_audit(rows).await.map_err(self.fault("write audit records"))
    }

    async fn audit(&self, filter: &AuditFilter) -> Result<Vec<StoredAuditRow>> {
        self.read_audit(filter).await.map_err(self.fault("read audit records"))
    }

    async fn prepare_audit(&self, now: Timestamp) -> Result<()> {
        let made = self.make_partitions(now).await;
        made.map_err(self.fault("make the partitions of audit records"))
    }

    async fn expire_audit(&self, before: Timestamp) -> Result<u64> {
        let dropped = self.drop_partitions(before).await;
        dropped.map_err(self.fault("remove old audit records"))
    }
}

impl Database {
    async fn write_audit(&self, rows: &[AuditRow]) -> sqlx::Result<()> {
        let texts = |of: fn(&AuditRow) -> &Option<String>| rows.iter().map(|row| of(row).clone()).collect::<Vec<_>>();
        let mut tx = self.write().await?;
        let add = self
            .query(&self.sql.audit_add)
            .bind(rows.iter().map(|row| row.at).collect::<Vec<i64>>())
            .bind(texts(|row| &row.gateway))
            .bind(texts(|row| &row.caller))
            .bind(texts(|row| &row.server))
            .bind(rows.iter().map(|row| row.body.clone()).collect::<Vec<_>>());
        add.execute(&mut *tx).await?;
        tx.commit().await
    }

    async fn read_audit(&self, filter: &AuditFilter) -> sqlx::Result<Vec<StoredAuditRow>> {
        let sql = match filter {
            AuditFilter { caller: Some(_), .. } => &self.sql.audit_list_by_caller,
            AuditFilter { server: Some(_), .. } => &self.sql.audit_list_by_server,
            AuditFilter { gateway: Some(_), .. } => &self.sql.audit_list_by_gateway,
            _ => &self.sql.audit_list,
        };
        let (at, id) = filter.before;
        let mut reading = self.read().await?;
        let query = self.query_as::<(i64, i64, String)>(sql);
        let query = query.bind(filter.from).bind(filter.until).bind(at).bind(id);
        let query = query.bind(filter.gateway.clone()).bind(filter.caller.clone());
        let query = query.bind(filter.server.clone()).bind(filter.limit);
        let rows = query.fetch_all(&mut *reading).await?;
        reading.end().await?;
        let stored = |(id, at, body)| StoredAuditRow { id, at, body };
        Ok(rows.into_iter().map(stored).collect())
    }

    async fn make_partitions(&self, now: Timestamp) -> sqlx::Result<()> {
        let mut tx = self.write().await?;
        #[expect(clippy::cast_precision_loss, reason = "it is about months")]
        let seconds = now.as_second() as f64;
        let made: i64 = self
            .query_scalar(&self.sql.audit_prepare)
            .bind(seconds)
            .fetch_one(&mut *tx)
            .await?;
        tx.commit().await?;
        if made > 0 {
            tracing::info!(made, "made partitions of audit records");
        }
        Ok(())
    }

    async fn drop_partitions(&self, before: Timestamp) -> sqlx::Result<u64> {
        let mut tx = self.write().await?;
        let dropped: i64 = self
            .query_scalar(&self.sql.audit_expire)
            .bind(micros(before))
            .fetch_one(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(dropped.unsigned_abs())
    }
}
