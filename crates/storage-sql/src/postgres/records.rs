//! Records and their changes. The version of a record is the revision of the change that made it.

use async_trait::async_trait;
use portolan_core::{Precondition, Version};
use sqlx::{PgConnection, Postgres, Transaction};

use super::{Database, condition, version};
use crate::{
    error::Result,
    rows::{ChangeRow, ChangeRows, NewRecord, NewToolSet, RecordRow, RecordRows, holds},
};

/// Version, name, body and digest of the tools.
type Row = (i64, String, String, Option<Vec<u8>>);
/// The same, and the tools.
type WholeRow = (i64, String, String, Option<Vec<u8>>, Option<String>);

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

    async fn record_with_tools(&self, kind: &str, name: &str) -> Result<Option<(RecordRow, Option<String>)>> {
        self.get_whole(kind, name).await.map_err(self.fault("read a record"))
    }

    async fn put_record(&self, record: &NewRecord<'_>, when: Precondition) -> Result<Option<Version>> {
        self.put(record, when).await.map_err(self.fault("write a record"))
    }

    async fn remove_record(&self, kind: &str, name: &str, when: Precondition) -> Result<bool> {
        self.remove(kind, name, when)
            .await
            .map_err(self.fault("remove a record"))
    }

    async fn records(&self, kind: &str, after: &str, limit: usize) -> Result<Vec<RecordRow>> {
        self.page(kind, after, limit).await.map_err(self.fault("list records"))
    }

    async fn installs(&self, server: &str, owner: Option<&str>, after: &str, limit: usize) -> Result<Vec<RecordRow>> {
        self.installs_after(server, owner, after, limit)
            .await
            .map_err(self.fault("list installs"))
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

    async fn get_whole(&self, kind: &str, name: &str) -> sqlx::Result<Option<(RecordRow, Option<String>)>> {
        let mut reading = self.read().await?;
        let query = self.query_as(&self.sql.record_get_whole).bind(kind).bind(name);
        let row: Option<WholeRow> = query.fetch_optional(&mut *reading).await?;
        reading.end().await?;
        let read = |(number, name, body, tools, set): WholeRow| Ok((record((number, name, body, tools))?, set));
        row.map(read).transpose()
    }

    async fn put(&self, record: &NewRecord<'_>, when: Precondition) -> sqlx::Result<Option<Version>> {
        let (condition, wanted) = condition(when);
        let mut tx = self.write().await?;
        self.query(&self.sql.change_lock).execute(&mut *tx).await?;
        // Only installs have tools. The lock keeps all other writers out, so what is read here stays so.
        let before = match record.server {
            Some(_) => self.current(&mut tx, record.kind, record.name).await?,
            None => None,
        };
        if let Some(tools) = &record.tools {
            self.add_tool_set(&mut tx, tools).await?;
        }
        let digest = record.tools.as_ref().map(|tools| tools.digest);
        let put = self
            .query_scalar(&self.sql.record_put)
            .bind(record.kind)
            .bind(record.name)
            .bind(record.body)
            .bind(condition)
            .bind(wanted)
            .bind(digest)
            .bind(record.server)
            .bind(record.owner);
        let Some(revision) = put.fetch_optional(&mut *tx).await? else {
            tx.rollback().await?;
            return Ok(None);
        };
        if let Some(before) = before.and_then(|before| before.tools)
            && digest != Some(&before)
        {
            self.drop_tool_set(&mut tx, &before).await?;
        }
        tx.commit().await?;
        version(revision).map(Some)
    }

    async fn remove(&self, kind: &str, name: &str, when: Precondition) -> sqlx::Result<bool> {
        let (condition, wanted) = condition(when);
        let mut tx = self.write().await?;
        self.query(&self.sql.change_lock).execute(&mut *tx).await?;
        let remove = self
            .query_as(&self.sql.record_remove)
            .bind(kind)
            .bind(name)
            .bind(condition)
            .bind(wanted);
        let Some((revision, tools)): Option<(i64, Option<Vec<u8>>)> = remove.fetch_optional(&mut *tx).await? else {
            let found = self.current(&mut tx, kind, name).await?;
            tx.rollback().await?;
            return Ok(holds(when, found.map(|found| found.version)));
        };
        if let Some(tools) = tools {
            self.drop_tool_set(&mut tx, &tools).await?;
        }
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
    ) -> sqlx::Result<Option<Current>> {
        let query = self.query_as(&self.sql.record_version).bind(kind).bind(name);
        let row: Option<(i64, Option<Vec<u8>>)> = query.fetch_optional(&mut **tx).await?;
        row.map(|(number, tools)| {
            let version = version(number)?;
            Ok(Current { version, tools })
        })
        .transpose()
    }

    async fn add_tool_set(&self, tx: &mut Transaction<'static, Postgres>, tools: &NewToolSet<'_>) -> sqlx::Result<()> {
        let known = self.query_scalar(&self.sql.tool_set_known).bind(tools.digest);
        if known.fetch_one(&mut **tx).await? {
            return Ok(());
        }
        let add = self
            .query(&self.sql.tool_set_add)
            .bind(tools.digest)
            .bind((tools.body)());
        add.execute(&mut **tx).await.map(drop)
    }

    /// Removes a tool set that no record has any more.
    async fn drop_tool_set(&self, tx: &mut Transaction<'static, Postgres>, digest: &[u8]) -> sqlx::Result<()> {
        let drop_it = self.query(&self.sql.tool_set_drop).bind(digest);
        drop_it.execute(&mut **tx).await.map(drop)
    }

    async fn installs_after(
        &self,
        server: &str,
        owner: Option<&str>,
        after: &str,
        limit: usize,
    ) -> sqlx::Result<Vec<RecordRow>> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let statement = match owner {
            Some(_) => &self.sql.install_list_of,
            None => &self.sql.install_list,
        };
        let mut reading = self.read().await?;
        let query = self
            .query_as(statement)
            .bind(server)
            .bind(after)
            .bind(limit)
            .bind(PAGE_BYTES);
        let query = match owner {
            Some(owner) => query.bind(owner),
            None => query,
        };
        let rows: Vec<Row> = query.fetch_all(&mut *reading).await?;
        reading.end().await?;
        rows.into_iter().map(record).collect()
    }

    async fn page(&self, kind: &str, after: &str, limit: usize) -> sqlx::Result<Vec<RecordRow>> {
        let mut reading = self.read().await?;
        let rows = self.page_in(&mut reading, kind, after, limit).await?;
        reading.end().await?;
        Ok(rows)
    }

    pub(super) async fn page_in(
        &self,
        connection: &mut PgConnection,
        kind: &str,
        after: &str,
        limit: usize,
    ) -> sqlx::Result<Vec<RecordRow>> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let query = self
            .query_as(&self.sql.record_list)
            .bind(kind.to_owned())
            .bind(after.to_owned())
            .bind(limit)
            .bind(PAGE_BYTES);
        let rows = query.fetch_all(connection).await?;
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

/// What a write has to know of the record that is there.
struct Current {
    version: Version,
    tools: Option<Vec<u8>>,
}

fn record((number, name, body, tools): Row) -> sqlx::Result<RecordRow> {
    let version = version(number)?;
    Ok(RecordRow {
        name,
        version,
        body,
        tools,
    })
}
