//! The keys that wrap data keys, and what they wrapped.

use async_trait::async_trait;
use sqlx::PgConnection;

use super::{Database, wrapped};
use crate::{
    error::Result,
    rows::{KeyRows, NewWrapRow, OldWrapRow, ProbeRow, SealedTable},
};

type ProbeColumns = (String, Option<Vec<u8>>, Vec<u8>);
type OldWrapColumns = (String, i64, Option<Vec<u8>>, Option<String>, Option<Vec<u8>>);

#[async_trait]
impl KeyRows for Database {
    async fn probes(&self) -> Result<Vec<ProbeRow>> {
        self.read_probes().await.map_err(self.fault("read the keys"))
    }

    async fn add_probe(&self, own: &ProbeRow, checked: &[String]) -> Result<bool> {
        let added = self.add_checked(own, checked).await;
        added.map_err(self.fault("note the key"))
    }

    async fn old_wraps(&self, table: SealedTable, current: &str, after: &str, limit: usize) -> Result<Vec<OldWrapRow>> {
        let page = self.page_of_old(table, current, after, limit).await;
        page.map_err(self.fault("list what older keys wrapped"))
    }

    async fn rewrap(&self, table: SealedTable, probe: &ProbeRow, rows: &[NewWrapRow]) -> Result<u64> {
        let replaced = self.replace_wraps(table, probe, rows).await;
        replaced.map_err(self.fault("write rewrapped keys"))
    }

    async fn forget_keys(&self, current: &str) -> Result<Vec<String>> {
        let forgotten = self.forget_unused(current).await;
        forgotten.map_err(self.fault("forget unused keys"))
    }
}

impl Database {
    async fn read_probes(&self) -> sqlx::Result<Vec<ProbeRow>> {
        let mut reading = self.read().await?;
        let found = self.probes_there(&mut reading).await?;
        reading.end().await?;
        Ok(found)
    }

    async fn probes_there(&self, connection: &mut PgConnection) -> sqlx::Result<Vec<ProbeRow>> {
        let query = self.query_as::<ProbeColumns>(&self.sql.probe_list);
        let probe = |(key_id, data_key, probe)| ProbeRow {
            key_id,
            data_key,
            probe,
        };
        Ok(query.fetch_all(connection).await?.into_iter().map(probe).collect())
    }

    async fn add_checked(&self, own: &ProbeRow, checked: &[String]) -> sqlx::Result<bool> {
        let mut tx = self.write().await?;
        self.query(&self.sql.probe_lock).execute(&mut *tx).await?;
        let known = self.probes_there(&mut tx).await?;
        if known.iter().any(|probe| !checked.contains(&probe.key_id)) {
            tx.rollback().await?;
            return Ok(false);
        }
        self.write_probe(&mut tx, own).await?;
        tx.commit().await?;
        Ok(true)
    }

    async fn page_of_old(
        &self,
        table: SealedTable,
        current: &str,
        after: &str,
        limit: usize,
    ) -> sqlx::Result<Vec<OldWrapRow>> {
        let sql = match table {
            SealedTable::Secrets => &self.sql.rewrap_secret_list,
            SealedTable::OneTime => &self.sql.rewrap_one_time_list,
        };
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let mut reading = self.read().await?;
        let query = self.query_as::<OldWrapColumns>(sql).bind(current.to_owned());
        let query = query.bind(after.to_owned()).bind(limit);
        let rows = query.fetch_all(&mut *reading).await?;
        reading.end().await?;
        let old = |(key, state, direct, key_id, data_key)| OldWrapRow {
            key,
            state,
            direct,
            wrapped: wrapped(key_id, data_key),
        };
        Ok(rows.into_iter().map(old).collect())
    }

    async fn replace_wraps(&self, table: SealedTable, probe: &ProbeRow, rows: &[NewWrapRow]) -> sqlx::Result<u64> {
        let sql = match table {
            SealedTable::Secrets => &self.sql.rewrap_secret,
            SealedTable::OneTime => &self.sql.rewrap_one_time,
        };
        // In one order, so that two replicas that rewrap the same records do not lock each other out.
        let mut rows: Vec<&NewWrapRow> = rows.iter().collect();
        rows.sort_unstable_by(|one, two| one.old.key.cmp(&two.old.key));
        let mut tx = self.write().await?;
        self.write_probe(&mut tx, probe).await?;
        let mut replaced = 0;
        for row in rows {
            let update = self
                .query(sql)
                .bind(row.old.key.clone())
                .bind(row.old.state)
                .bind(row.old.wrapped.as_ref().map(|old| old.data_key.clone()))
                .bind(row.wrapped.key_id.clone())
                .bind(row.wrapped.data_key.clone())
                .bind(row.sealed.clone());
            replaced += update.execute(&mut *tx).await?.rows_affected();
        }
        tx.commit().await?;
        Ok(replaced)
    }

    async fn forget_unused(&self, current: &str) -> sqlx::Result<Vec<String>> {
        let mut tx = self.write().await?;
        // A statement of its own: what it waited for is seen by those after it only.
        self.query(&self.sql.probe_lock).execute(&mut *tx).await?;
        let query = self
            .query_scalar::<String>(&self.sql.probe_forget)
            .bind(current.to_owned());
        let mut forgotten = query.fetch_all(&mut *tx).await?;
        let query = self.query_scalar::<String>(&self.sql.probe_forget_direct);
        forgotten.extend(query.fetch_all(&mut *tx).await?);
        tx.commit().await?;
        Ok(forgotten)
    }

    /// Writes the probe of a key where it is not there, in the transaction that writes what the key wrapped: a key that
    /// something is wrapped with is never unknown.
    pub(super) async fn write_probe(&self, connection: &mut PgConnection, probe: &ProbeRow) -> sqlx::Result<()> {
        let add = self
            .query(&self.sql.probe_add)
            .bind(probe.key_id.clone())
            .bind(probe.data_key.clone())
            .bind(probe.probe.clone());
        add.execute(connection).await?;
        Ok(())
    }
}
