//! Audit records.

use async_trait::async_trait;
use jiff::Timestamp;

use super::{Database, micros, sql};
use crate::{
    error::Result,
    rows::{AuditFilter, AuditRow, AuditRows, StoredAuditRow},
};

/// So many old records are removed in one transaction.
const EXPIRE: i64 = 1_000;

#[async_trait]
impl AuditRows for Database {
    async fn add_audit(&self, rows: &[AuditRow]) -> Result<()> {
        self.write_audit(rows).await.map_err(self.fault("write audit records"))
    }

    async fn audit(&self, filter: &AuditFilter) -> Result<Vec<StoredAuditRow>> {
        let query = sqlx::query_as(match filter {
            AuditFilter { caller: Some(_), .. } => sql!("audit_list_by_caller"),
            AuditFilter { server: Some(_), .. } => sql!("audit_list_by_server"),
            AuditFilter { gateway: Some(_), .. } => sql!("audit_list_by_gateway"),
            _ => sql!("audit_list"),
        });
        let (at, id) = filter.before;
        let query = query.bind(filter.from).bind(filter.until).bind(at).bind(id);
        let query = query.bind(&filter.gateway).bind(&filter.caller).bind(&filter.server);
        let rows: sqlx::Result<Vec<(i64, i64, String)>> = query.bind(filter.limit).fetch_all(&self.readers).await;
        let rows = rows.map_err(self.fault("read audit records"))?;
        let stored = |(id, at, body)| StoredAuditRow { id, at, body };
        Ok(rows.into_iter().map(stored).collect())
    }

    async fn prepare_audit(&self, _now: Timestamp) -> Result<()> {
        Ok(())
    }

    async fn expire_audit(&self, before: Timestamp) -> Result<u64> {
        let mut removed = 0;
        loop {
            let some = self.expire_some_audit(before).await;
            match some.map_err(self.fault("remove old audit records"))? {
                0 => return Ok(removed),
                some => removed += some,
            }
        }
    }
}

impl Database {
    async fn write_audit(&self, rows: &[AuditRow]) -> sqlx::Result<()> {
        let mut tx = self.write().await?;
        for row in rows {
            let add = sqlx::query(sql!("audit_add")).bind(row.at);
            let add = add
                .bind(&row.gateway)
                .bind(&row.caller)
                .bind(&row.server)
                .bind(&row.body);
            add.execute(&mut *tx).await?;
        }
        tx.commit().await
    }

    async fn expire_some_audit(&self, before: Timestamp) -> sqlx::Result<u64> {
        let mut tx = self.write().await?;
        let expire = sqlx::query(sql!("audit_expire")).bind(micros(before)).bind(EXPIRE);
        let removed = expire.execute(&mut *tx).await?.rows_affected();
        tx.commit().await?;
        Ok(removed)
    }
}
