//! Records and their changes. The version of a record is the revision of the change that made it.

use async_trait::async_trait;
use futures_util::TryStreamExt;
use portolan_core::{Precondition, Version};
use sqlx::SqliteConnection;

use super::{Database, sql, version};
use crate::{
    error::Result,
    rows::{ChangeRow, ChangeRows, NewRecord, NewToolSet, RecordRow, RecordRows, holds},
};

/// Version, name, body and digest of the tools.
pub(super) type Row = (i64, String, String, Option<Vec<u8>>);
pub(super) type RowQuery<'q> = sqlx::query::QueryAs<'q, sqlx::Sqlite, Row, sqlx::sqlite::SqliteArguments>;

/// A page ends when its records have this many bytes.
const PAGE_BYTES: usize = 8 << 20;
/// So many changes are read at once.
const CHANGES: i64 = 1_000;
/// So many removals are remembered at least.
const REMOVALS: i64 = 65_536;
/// Removals are forgotten at each revision that this divides, so that a single one costs nothing.
const TIDY_EVERY: i64 = 1_024;

#[async_trait]
impl RecordRows for Database {
    async fn record(&self, kind: &str, name: &str) -> Result<Option<RecordRow>> {
        let query = sqlx::query_as(sql!("record_get")).bind(kind).bind(name);
        let row = query.fetch_optional(&self.readers).await;
        row.and_then(|row| row.map(record).transpose())
            .map_err(self.fault("read a record"))
    }

    async fn record_with_tools(&self, kind: &str, name: &str) -> Result<Option<(RecordRow, Option<String>)>> {
        let query = sqlx::query_as(sql!("record_get_whole")).bind(kind).bind(name);
        let row: sqlx::Result<Option<(i64, String, String, Option<Vec<u8>>, Option<String>)>> =
            query.fetch_optional(&self.readers).await;
        let read = |(number, name, body, tools, set)| Ok((record((number, name, body, tools))?, set));
        row.and_then(|row| row.map(read).transpose())
            .map_err(self.fault("read a record"))
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
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let query = sqlx::query_as(sql!("record_list")).bind(kind).bind(after).bind(limit);
        let rows = page(query, &self.readers).await;
        rows.map_err(self.fault("list records"))
    }

    async fn installs(&self, server: &str, owner: Option<&str>, after: &str, limit: usize) -> Result<Vec<RecordRow>> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let query = match owner {
            Some(owner) => sqlx::query_as(sql!("install_list_of")).bind(server).bind(owner),
            None => sqlx::query_as(sql!("install_list")).bind(server),
        };
        let rows = page(query.bind(after).bind(limit), &self.readers).await;
        rows.map_err(self.fault("list installs"))
    }

    async fn changes(&self, since: u64) -> Result<ChangeRows> {
        self.changes_after(since).await.map_err(self.fault("read changes"))
    }

    async fn newest_change(&self) -> Result<u64> {
        let head: sqlx::Result<i64> = sqlx::query_scalar(sql!("change_head")).fetch_one(&self.readers).await;
        Ok(head.map_err(self.fault("read changes"))?.unsigned_abs())
    }
}

impl Database {
    async fn put(&self, record: &NewRecord<'_>, when: Precondition) -> sqlx::Result<Option<Version>> {
        let mut tx = self.write().await?;
        let found = current(&mut tx, record.kind, record.name).await?;
        if !holds(when, found.as_ref().map(|found| found.version)) {
            tx.rollback().await?;
            return Ok(None);
        }
        let revision = change(&mut tx, record.kind, record.name, false).await?;
        if let Some(tools) = &record.tools {
            add_tool_set(&mut tx, tools).await?;
        }
        let digest = record.tools.as_ref().map(|tools| tools.digest);
        let put = sqlx::query(sql!("record_put"))
            .bind(record.kind)
            .bind(record.name)
            .bind(revision)
            .bind(record.body)
            .bind(digest)
            .bind(record.server)
            .bind(record.owner);
        put.execute(&mut *tx).await?;
        if let Some(before) = found.and_then(|found| found.tools)
            && digest != Some(&before)
        {
            drop_tool_set(&mut tx, &before).await?;
        }
        tx.commit().await?;
        version(revision).map(Some)
    }

    async fn remove(&self, kind: &str, name: &str, when: Precondition) -> sqlx::Result<bool> {
        let mut tx = self.write().await?;
        let found = current(&mut tx, kind, name).await?;
        let holds = holds(when, found.as_ref().map(|found| found.version));
        let Some(found) = found.filter(|_| holds) else {
            tx.rollback().await?;
            return Ok(holds);
        };
        sqlx::query(sql!("record_remove"))
            .bind(kind)
            .bind(name)
            .execute(&mut *tx)
            .await?;
        if let Some(tools) = found.tools {
            drop_tool_set(&mut tx, &tools).await?;
        }
        let revision = change(&mut tx, kind, name, true).await?;
        if revision % TIDY_EVERY == 0 {
            forget(&mut tx, REMOVALS).await?;
        }
        tx.commit().await?;
        Ok(true)
    }

    async fn changes_after(&self, since: u64) -> sqlx::Result<ChangeRows> {
        let since = i64::try_from(since).unwrap_or(i64::MAX);
        let query = sqlx::query_as(sql!("change_list")).bind(since).bind(CHANGES);
        let rows: Vec<(i64, String, String)> = query.fetch_all(&self.readers).await?;
        let forgotten: i64 = sqlx::query_scalar(sql!("change_forgotten"))
            .fetch_one(&self.readers)
            .await?;
        let rows = rows.into_iter().map(|(revision, kind, name)| ChangeRow {
            revision: revision.unsigned_abs(),
            kind,
            name,
        });
        Ok(ChangeRows {
            rows: rows.collect(),
            forgotten: forgotten.unsigned_abs(),
        })
    }
}

/// Reads a page, which ends once it has enough bytes.
pub(super) async fn page<'e>(
    query: RowQuery<'_>,
    executor: impl sqlx::SqliteExecutor<'e>,
) -> sqlx::Result<Vec<RecordRow>> {
    let mut rows = query.fetch(executor);
    let mut page = Vec::new();
    let mut bytes = 0;
    while bytes < PAGE_BYTES
        && let Some(row) = rows.try_next().await?
    {
        let row = record(row)?;
        bytes += row.body.len();
        page.push(row);
    }
    Ok(page)
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

/// What a write has to know of the record that is there.
struct Current {
    version: Version,
    tools: Option<Vec<u8>>,
}

async fn current(connection: &mut SqliteConnection, kind: &str, name: &str) -> sqlx::Result<Option<Current>> {
    let query = sqlx::query_as(sql!("record_version")).bind(kind).bind(name);
    let row: Option<(i64, Option<Vec<u8>>)> = query.fetch_optional(connection).await?;
    row.map(|(number, tools)| {
        let version = version(number)?;
        Ok(Current { version, tools })
    })
    .transpose()
}

async fn add_tool_set(connection: &mut SqliteConnection, tools: &NewToolSet<'_>) -> sqlx::Result<()> {
    let known = sqlx::query_scalar(sql!("tool_set_known")).bind(tools.digest);
    if known.fetch_one(&mut *connection).await? {
        return Ok(());
    }
    let add = sqlx::query(sql!("tool_set_add"))
        .bind(tools.digest)
        .bind((tools.body)());
    add.execute(connection).await.map(drop)
}

/// Removes a tool set that no record has any more.
async fn drop_tool_set(connection: &mut SqliteConnection, digest: &[u8]) -> sqlx::Result<()> {
    let drop_it = sqlx::query(sql!("tool_set_drop")).bind(digest);
    drop_it.execute(connection).await.map(drop)
}

/// Writes down that a key changed, in place of the change that it had before, and gives the revision.
pub(super) async fn change(
    connection: &mut SqliteConnection,
    kind: &str,
    name: &str,
    removed: bool,
) -> sqlx::Result<i64> {
    let drop = sqlx::query(sql!("change_drop")).bind(kind).bind(name);
    drop.execute(&mut *connection).await?;
    let add = sqlx::query_scalar(sql!("change_add"))
        .bind(kind)
        .bind(name)
        .bind(removed);
    add.fetch_one(connection).await
}

/// Forgets the oldest removals beyond `keep`, and writes down up to where.
async fn forget(connection: &mut SqliteConnection, keep: i64) -> sqlx::Result<()> {
    let query = sqlx::query_scalar(sql!("change_limit")).bind(keep);
    let Some(limit): Option<i64> = query.fetch_optional(&mut *connection).await? else {
        return Ok(());
    };
    sqlx::query(sql!("change_forget"))
        .bind(limit)
        .execute(&mut *connection)
        .await?;
    sqlx::query(sql!("change_set_forgotten"))
        .bind(limit)
        .execute(connection)
        .await?;
    Ok(())
}

#[cfg(test)]
#[path = "records/tests.rs"]
mod tests;
