//! The SQLite dialect: one connection that writes, some that read.

mod audit;
mod backup;
mod fault;
mod keys;
mod messages;
mod migrate;
mod one_time;
mod open;
mod records;
mod secrets;
mod sessions;

use std::{num::NonZeroU64, sync::Arc};

use async_trait::async_trait;
use jiff::Timestamp;
use portolan_core::Version;
use sqlx::{Sqlite, SqliteConnection, SqlitePool, Transaction};

use crate::{
    error::SqlError,
    rows::{Dialect, SealedRow, WrappedRow},
};

/// The statement in `sql/<name>.sql`.
macro_rules! sql {
    ($name:literal) => {
        include_str!(concat!("sql/", $name, ".sql"))
    };
}
pub(crate) use sql;

/// An open SQLite database.
#[derive(Debug)]
pub(crate) struct Database {
    place: Arc<str>,
    /// One connection: SQLite has one writer at a time, and waiting in line is fairer than its busy handler.
    writer: SqlitePool,
    /// Connections that refuse to write. In memory this is the writer, for there is only one connection.
    readers: SqlitePool,
    ownership: Ownership,
}

/// Who opened the connections, and so who closes them.
#[derive(Debug)]
enum Ownership {
    /// The store.
    Store {
        /// Keeps a database in memory; never used.
        #[expect(dead_code, reason = "what it does is to be there")]
        keeper: Option<SqlitePool>,
    },
    /// The host, which goes on using them.
    Host,
}

impl Database {
    /// Begins a transaction that writes, with the write lock at once: one that begins by reading cannot wait for the lock,
    /// and fails with SQLITE_BUSY_SNAPSHOT.
    async fn write(&self) -> sqlx::Result<Transaction<'static, Sqlite>> {
        self.writer.begin_with("BEGIN IMMEDIATE").await
    }

    /// Makes an error that says what was tried, where, and what to do.
    fn fault(&self, action: &'static str) -> impl FnOnce(sqlx::Error) -> SqlError {
        let place = Arc::clone(&self.place);
        move |error| fault::classify(place, action, error)
    }
}

#[async_trait]
impl Dialect for Database {
    fn place(&self) -> &str {
        &self.place
    }

    async fn close(&self) {
        if matches!(self.ownership, Ownership::Host) {
            return;
        }
        self.readers.close().await;
        self.writer.close().await;
    }
}

/// Returns the next number that was never given before.
async fn next_number(connection: &mut SqliteConnection) -> sqlx::Result<i64> {
    sqlx::query_scalar(sql!("number_next")).fetch_one(connection).await
}

/// Reads a version from its column.
fn version(value: i64) -> sqlx::Result<Version> {
    let value = u64::try_from(value).ok().and_then(NonZeroU64::new);
    value
        .map(Version)
        .ok_or_else(|| sqlx::Error::Decode("a version is not positive".into()))
}

/// A sealed text with its columns.
fn sealed((sealed, key_id, data_key): (Vec<u8>, Option<String>, Option<Vec<u8>>)) -> SealedRow {
    SealedRow {
        sealed,
        wrapped: wrapped(key_id, data_key),
    }
}

fn wrapped(key_id: Option<String>, data_key: Option<Vec<u8>>) -> Option<WrappedRow> {
    let (key_id, data_key) = key_id.zip(data_key)?;
    Some(WrappedRow { key_id, data_key })
}

/// Converts a time to its stored form: whole microseconds, rounded down, so that nothing is kept for too long.
fn micros(time: Timestamp) -> i64 {
    time.as_microsecond()
}
