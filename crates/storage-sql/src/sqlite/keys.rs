//! The keys that wrap data keys, and what they wrapped.

use async_trait::async_trait;
use futures_util::TryStreamExt;
use sqlx::SqliteConnection;

use super::{Database, sql, wrapped};
use crate::{
    error::Result,
    rows::{KeyRows, NewWrapRow, OldWrapRow, ProbeRow, SealedTable},
};

/// A page of records ends when their texts have this many bytes.
const PAGE_BYTES: usize = 8 << 20;

#[async_trait]
impl KeyRows for Database {
    async fn probes(&self) -> Result<Vec<ProbeRow>> {
        let mut tx = self.readers.acquire().await.map_err(self.fault("read the keys"))?;
        probes(&mut tx).await.map_err(self.fault("read the keys"))
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
    async fn add_checked(&self, own: &ProbeRow, checked: &[String]) -> sqlx::Result<bool> {
        let mut tx = self.write().await?;
        let known = probes(&mut tx).await?;
        if known.iter().any(|probe| !checked.contains(&probe.key_id)) {
            tx.rollback().await?;
            return Ok(false);
        }
        write_probe(&mut tx, own).await?;
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
        type Columns = (String, i64, Option<Vec<u8>>, Option<String>, Option<Vec<u8>>);
        let query = sqlx::query_as(match table {
            SealedTable::Secrets => sql!("rewrap_secret_list"),
            SealedTable::OneTime => sql!("rewrap_one_time_list"),
        });
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let mut rows = query.bind(current).bind(after).bind(limit).fetch(&self.readers);
        let (mut page, mut bytes) = (Vec::new(), 0);
        while bytes < PAGE_BYTES
            && let Some(row) = rows.try_next().await?
        {
            let (key, state, direct, key_id, data_key): Columns = row;
            bytes += direct.as_ref().map_or(0, Vec::len);
            page.push(OldWrapRow {
                key,
                state,
                direct,
                wrapped: wrapped(key_id, data_key),
            });
        }
        Ok(page)
    }

    async fn replace_wraps(&self, table: SealedTable, probe: &ProbeRow, rows: &[NewWrapRow]) -> sqlx::Result<u64> {
        let mut tx = self.write().await?;
        write_probe(&mut tx, probe).await?;
        let mut replaced = 0;
        for row in rows {
            let update = sqlx::query(match table {
                SealedTable::Secrets => sql!("rewrap_secret"),
                SealedTable::OneTime => sql!("rewrap_one_time"),
            });
            let update = update
                .bind(&row.old.key)
                .bind(row.old.state)
                .bind(row.old.wrapped.as_ref().map(|old| &old.data_key))
                .bind(&row.wrapped.key_id)
                .bind(&row.wrapped.data_key)
                .bind(&row.sealed);
            replaced += update.execute(&mut *tx).await?.rows_affected();
        }
        tx.commit().await?;
        Ok(replaced)
    }

    async fn forget_unused(&self, current: &str) -> sqlx::Result<Vec<String>> {
        let mut tx = self.write().await?;
        let query = sqlx::query_scalar(sql!("probe_forget")).bind(current);
        let mut forgotten: Vec<String> = query.fetch_all(&mut *tx).await?;
        let direct: Vec<String> = sqlx::query_scalar(sql!("probe_forget_direct"))
            .fetch_all(&mut *tx)
            .await?;
        forgotten.extend(direct);
        tx.commit().await?;
        Ok(forgotten)
    }
}

async fn probes(connection: &mut SqliteConnection) -> sqlx::Result<Vec<ProbeRow>> {
    let query = sqlx::query_as(sql!("probe_list"));
    let rows: Vec<(String, Option<Vec<u8>>, Vec<u8>)> = query.fetch_all(connection).await?;
    let probe = |(key_id, data_key, probe)| ProbeRow {
        key_id,
        data_key,
        probe,
    };
    Ok(rows.into_iter().map(probe).collect())
}

/// Writes the probe of a key where it is not there, in the transaction that writes what the key wrapped: a key that
/// something is wrapped with is never unknown.
pub(super) async fn write_probe(connection: &mut SqliteConnection, probe: &ProbeRow) -> sqlx::Result<()> {
    let add = sqlx::query(sql!("probe_add"))
        .bind(&probe.key_id)
        .bind(&probe.data_key)
        .bind(&probe.probe);
    add.execute(connection).await?;
    Ok(())
}
