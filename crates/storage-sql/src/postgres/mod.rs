//! The PostgreSQL dialect.
//!
//! Every write is one transaction. An error in it is never forgiven: `COMMIT` after a failed statement succeeds and stores
//! nothing. Behind a transaction pooler reads are transactions as well, and no statement is prepared under a name: a name,
//! or a statement outside of a transaction, may meet another client's on the server connection.

mod address;
mod audit;
mod backup;
mod fault;
mod keys;
mod listener;
mod messages;
mod migrate;
mod one_time;
mod open;
mod records;
mod secrets;
mod sessions;
mod statements;

use std::{
    num::NonZeroU64,
    ops::{Deref, DerefMut},
    sync::Arc,
};

use async_trait::async_trait;
use jiff::Timestamp;
use portolan_core::{Precondition, Version};
use sqlx::{
    AssertSqlSafe, FromRow, PgConnection, PgPool, Postgres, Transaction,
    pool::PoolConnection,
    postgres::{PgArguments, PgRow},
    query::{Query, QueryAs, QueryScalar},
};
use tokio::sync::watch;

use crate::{
    error::SqlError,
    rows::{Dialect, News, SealedRow, WrappedRow},
};
use listener::Listener;
use statements::{Statement, Statements};

pub(crate) use address::is_address;

const BACKEND: &str = "PostgreSQL";
const BEGIN_WRITE: &str = include_str!("sql/begin_write.sql");
const BEGIN_READ: &str = include_str!("sql/begin_read.sql");

/// An open PostgreSQL database.
#[derive(Debug)]
pub(crate) struct Database {
    place: Arc<str>,
    pool: PgPool,
    sql: Statements,
    /// Whether a pooler may change the server connection after each transaction.
    pooled: bool,
    /// Whether the connections are the host's, which goes on using them.
    of_host: bool,
    /// Hears of news over a connection of its own; `None` without a direct address.
    listener: Option<Listener>,
}

/// A connection to read with: a transaction where a pooler stands between.
enum Reading {
    Connection(PoolConnection<Postgres>),
    Transaction(Transaction<'static, Postgres>),
}

impl Reading {
    /// Ends the transaction, if it is one.
    async fn end(self) -> sqlx::Result<()> {
        match self {
            Self::Connection(_) => Ok(()),
            Self::Transaction(tx) => tx.commit().await,
        }
    }
}

impl Deref for Reading {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        match self {
            Self::Connection(connection) => connection,
            Self::Transaction(tx) => tx,
        }
    }
}

impl DerefMut for Reading {
    fn deref_mut(&mut self) -> &mut PgConnection {
        match self {
            Self::Connection(connection) => connection,
            Self::Transaction(tx) => tx,
        }
    }
}

impl Database {
    /// Begins a transaction that writes.
    async fn write(&self) -> sqlx::Result<Transaction<'static, Postgres>> {
        self.pool.begin_with(BEGIN_WRITE).await
    }

    /// Takes a connection to read with.
    async fn read(&self) -> sqlx::Result<Reading> {
        if self.pooled {
            return Ok(Reading::Transaction(self.pool.begin_with(BEGIN_READ).await?));
        }
        Ok(Reading::Connection(self.pool.acquire().await?))
    }

    fn query(&self, sql: &Statement) -> Query<'static, Postgres, PgArguments> {
        sqlx::query(AssertSqlSafe(Arc::clone(sql))).persistent(!self.pooled)
    }

    fn query_as<T>(&self, sql: &Statement) -> QueryAs<'static, Postgres, T, PgArguments>
    where
        T: for<'r> FromRow<'r, PgRow>,
    {
        sqlx::query_as(AssertSqlSafe(Arc::clone(sql))).persistent(!self.pooled)
    }

    fn query_scalar<T>(&self, sql: &Statement) -> QueryScalar<'static, Postgres, T, PgArguments>
    where
        (T,): for<'r> FromRow<'r, PgRow>,
    {
        sqlx::query_scalar(AssertSqlSafe(Arc::clone(sql))).persistent(!self.pooled)
    }

    /// Makes an error that says what was tried, where, and what to do.
    fn fault(&self, action: &'static str) -> impl FnOnce(sqlx::Error) -> SqlError {
        let place = Arc::clone(&self.place);
        move |error| fault::classify(place, action, error)
    }

    /// Returns a version that no secret or session ever had.
    async fn next_version(&self, connection: &mut PgConnection) -> sqlx::Result<i64> {
        self.query_scalar(&self.sql.version_next).fetch_one(connection).await
    }
}

#[async_trait]
impl Dialect for Database {
    fn place(&self) -> &str {
        &self.place
    }

    async fn close(&self) {
        if let Some(listener) = &self.listener {
            listener.stop();
        }
        if !self.of_host {
            self.pool.close().await;
        }
    }

    fn news(&self, about: News) -> Option<watch::Receiver<()>> {
        self.listener.as_ref().map(|listener| listener.hear(about))
    }

    fn missed_news(&self) {
        if let Some(listener) = &self.listener {
            listener.missed();
        }
    }
}

/// Reads a version from its column.
fn version(value: i64) -> sqlx::Result<Version> {
    let value = u64::try_from(value).ok().and_then(NonZeroU64::new);
    value
        .map(Version)
        .ok_or_else(|| sqlx::Error::Decode("a version is not positive".into()))
}

/// A sealed text with its columns.
fn sealed(sealed: Vec<u8>, key_id: Option<String>, data_key: Option<Vec<u8>>) -> SealedRow {
    SealedRow {
        sealed,
        wrapped: wrapped(key_id, data_key),
    }
}

fn wrapped(key_id: Option<String>, data_key: Option<Vec<u8>>) -> Option<WrappedRow> {
    let (key_id, data_key) = key_id.zip(data_key)?;
    Some(WrappedRow { key_id, data_key })
}

/// The number that stands for a condition in the statements, and the version that goes with it.
fn condition(when: Precondition) -> (i32, i64) {
    match when {
        Precondition::None => (0, 0),
        Precondition::Absent => (1, 0),
        // No stored version is negative.
        Precondition::Version(version) => (2, i64::try_from(version.0.get()).unwrap_or(-1)),
    }
}

/// Converts a time to its stored form: whole microseconds, rounded down, so that nothing is kept for too long.
fn micros(time: Timestamp) -> i64 {
    time.as_microsecond()
}
