//! Records and their changes. The version of a record is the revision of the change that made it.

use async_trait::async_trait;
use portolan_core::{Precondition, Version};
use sqlx::{Postgres, Transaction};

use super::{Database, condition, version};
use crate::{
    error::Result,
    rows::{ChangeRow, ChangeRows, RecordRow, RecordRows, holds},
};

/// A page ends when its records have this many bytes.
const PAGE_BYTES: i64 = 8 << 20;
/// So many changes are read at once.
const CHANGES: i64 = 1_000;
/// So many removals are remembered at least.
const REMOVALS: i64 = 65_536;
/// Removals are forgotten at each revision that this divides, so that a single one costs nothing.
const TIDY_EVERY: i64 = 1_024;

#[async_trait]
impl RecordRows for Database {
    async fn record(&self, kind: &str, name: &str) -> Result<Option<RecordRow>> {
        self.get(kind, name).await.map_err(self.fault("read a record"))
    }

    async fn put_record(&self, kind: &str, name: &str, body: &str, when: Precondition) -> Result<Option<Version>> {
        self.put(kind, name, body, when)
            .await
            .map_err(self.fault("write a record"))
    }

    async fn remove_record(&self, kind: &str, name: &str, when: Precondition) -> Result<bool> {
        self.remove(kind, name, when)
            .await
            .map_err(self.fault("remove a record"))
    }

    async fn records(&self, kind: &str, after: &str, limit: usize) -> Result<Vec<RecordRow>> {
        self.page(kind, after, limit).await.map_err(self.fault("list records"))
    }

    async fn changes(&self, since: u64) -> Result<ChangeRows> {
        self.changes_after(since).await.map_err(self.fault("read changes"))
    }

    async fn newest_change(&self) -> Result<u64> {
        self.change_head().await.map_err(self.fault("read changes"))
    }
}

impl Database {
    async fn get(&self, kind: &str, name: &str) -> sqlx::Result<Option<RecordRow>> {
        let mut reading = self.read().await?;
        let query = self.query_as(&self.sql.record_get).bind(kind).bind(name);
        let row = query.fetch_optional(&mut *reading).await?;
        reading.end().await?;
        row.map(record).transpose()
    }

    async fn put(&self, kind: &str, name: &str, body: &str, when: Precondition) -> sqlx::Result<Option<Version>> {
        let (condition, wanted) = condition(when);
        let mut tx = self.write().await?;
        self.query(&self.sql.change_lock).execute(&mut *tx).await?;
        let put = self
            .query_scalar(&self.sql.record_put)
            .bind(kind)
            .bind(name)
            .bind(body)
            .bind(condition)
            .bind(wanted);
        let Some(revision) = put.fetch_optional(&mut *tx).await? else {
            tx.rollback().await?;
            return Ok(None);
        };
        tx.commit().await?;
        version(revision).map(Some)
    }

    async fn remove(&self, kind: &str, name: &str, when: Precondition) -> sqlx::Result<bool> {
        let (condition, wanted) = condition(when);
        let mut tx = self.write().await?;
        self.query(&self.sql.change_lock).execute(&mut *tx).await?;
        let remove = self
            .query_scalar(&self.sql.record_remove)
            .bind(kind)
            .bind(name)
            .bind(condition)
            .bind(wanted);
        let Some(revision): Option<i64> = remove.fetch_optional(&mut *tx).await? else {
            let found = self.current(&mut tx, kind, name).await?;
            tx.rollback().await?;
            return Ok(holds(when, found));
        };
        if revision % TIDY_EVERY == 0 {
            self.query(&self.sql.change_forget)
                .bind(REMOVALS)
                .execute(&mut *tx)
                .await?;
        }
        tx.commit().await?;
        Ok(true)
    }

    async fn current(
        &self,
        tx: &mut Transaction<'static, Postgres>,
        kind: &str,
        name: &str,
    ) -> sqlx::Result<Option<Version>> {
        let query = self.query_scalar(&self.sql.record_version).bind(kind).bind(name);
        query.fetch_optional(&mut **tx).await?.map(version).transpose()
    }

    async fn page(&self, kind: &str, after: &str, limit: usize) -> sqlx::Result<Vec<RecordRow>> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let mut reading = self.read().await?;
        let query = self
            .query_as(&self.sql.record_list)
            .bind(kind)
            .bind(after)
            .bind(limit)
            .bind(PAGE_BYTES);
        let rows = query.fetch_all(&mut *reading).await?;
        reading.end().await?;
        rows.into_iter().map(record).collect()
    }

    async fn changes_after(&self, since: u64) -> sqlx::Result<ChangeRows> {
        let since = i64::try_from(since).unwrap_or(i64::MAX);
        let mut reading = self.read().await?;
        let query = self.query_as(&self.sql.change_list).bind(since).bind(CHANGES);
        let rows: Vec<FeedRow> = query.fetch_all(&mut *reading).await?;
        reading.end().await?;
        let forgotten = rows.first().map_or(0, |row| row.0.unsigned_abs());
        let rows = rows.into_iter().filter_map(|(_, revision, kind, name)| {
            Some(ChangeRow {
                revision: revision?.unsigned_abs(),
                kind: kind?,
                name: name?,
            })
        });
        Ok(ChangeRows {
            rows: rows.collect(),
            forgotten,
        })
    }

    async fn change_head(&self) -> sqlx::Result<u64> {
        let mut reading = self.read().await?;
        let head: i64 = self
            .query_scalar(&self.sql.change_head)
            .fetch_one(&mut *reading)
            .await?;
        reading.end().await?;
        Ok(head.unsigned_abs())
    }
}

/// What is forgotten, and a change; none where the feed holds nothing more.
type FeedRow = (i64, Option<i64>, Option<String>, Option<String>);

fn record((number, name, body): (i64, String, String)) -> sqlx::Result<RecordRow> {
    let version = version(number)?;
    Ok(RecordRow { name, version, body })
}
