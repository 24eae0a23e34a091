//! The schema: numbered steps that are only ever added to.

use std::sync::Arc;

use jiff::Timestamp;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use super::{
    BEGIN_READ, fault, micros,
    statements::{Statements, qualify},
};
use crate::{
    config::Migrations,
    error::Result,
    steps::{self, Step},
};

/// The steps. A released one is never changed.
///
/// All that are missing run in one transaction, so none may hold `CREATE INDEX CONCURRENTLY`; and none may change the type
/// of a column, which breaks the prepared statements of running processes.
const STEPS: &[Step] = &[
    Step {
        number: 1,
        sql: include_str!("migrations/0001_initial.sql"),
    },
    Step {
        number: 2,
        sql: include_str!("migrations/0002_sealing.sql"),
    },
    Step {
        number: 3,
        sql: include_str!("migrations/0003_tool_sets.sql"),
    },
    Step {
        number: 4,
        sql: include_str!("migrations/0004_audit.sql"),
    },
];

const BEGIN: &str = include_str!("sql/begin_schema.sql");
const SCHEMA_EXISTS: &str = include_str!("sql/schema_exists.sql");
const STEPS_EXIST: &str = include_str!("sql/schema_table.sql");

/// Where the tables are, or will be.
pub(super) struct Schema<'a> {
    pub(super) name: &'a str,
    pub(super) sql: &'a Statements,
    pub(super) place: &'a Arc<str>,
}

impl Schema<'_> {
    /// Brings the schema up to date, all of it or nothing, or only looks whether it is.
    ///
    /// One process does the work and the others wait for it, by a lock that ends with the transaction: a failure, and the
    /// death of the process, leave none behind. It holds behind a transaction pooler too.
    pub(super) async fn bring_up(
        &self,
        connection: &mut PgConnection,
        migrations: Migrations,
        now: Timestamp,
    ) -> Result<()> {
        let fault = |error| fault::classify(Arc::clone(self.place), "bring the schema up to date", error);
        let found = self.look(connection).await.map_err(fault)?;
        let missing = steps::missing(STEPS, &found, self.place)?;
        if missing.is_empty() {
            return Ok(());
        }
        if migrations == Migrations::Verify {
            return Err(steps::outdated(&missing, self.place));
        }
        let found = self.run(connection, now).await.map_err(fault)?;
        // Another process of a newer release may have come first.
        steps::missing(STEPS, &found, self.place).map(|_| ())
    }

    /// Returns the numbers of the steps that were taken.
    async fn look(&self, connection: &mut PgConnection) -> sqlx::Result<Vec<i64>> {
        let mut tx = connection.begin_with(BEGIN_READ).await?;
        let query = sqlx::query_scalar(STEPS_EXIST).bind(self.name).persistent(false);
        let found = match query.fetch_one(&mut *tx).await? {
            true => self.taken(&mut tx).await?,
            false => Vec::new(),
        };
        tx.commit().await?;
        Ok(found)
    }

    /// Takes the missing steps, and returns those that had been taken.
    async fn run(&self, connection: &mut PgConnection, now: Timestamp) -> sqlx::Result<Vec<i64>> {
        let mut tx = connection.begin_with(BEGIN).await?;
        let plain = |sql: &Arc<str>| sqlx::raw_sql(AssertSqlSafe(Arc::clone(sql)));
        plain(&self.sql.schema_lock).execute(&mut *tx).await?;
        let exists = async |tx: &mut PgConnection, sql: &'static str| {
            let query = sqlx::query_scalar::<_, bool>(sql).bind(self.name).persistent(false);
            query.fetch_one(tx).await
        };
        // Asked first: IF NOT EXISTS needs the right to make a schema even where there is one.
        if !exists(&mut tx, SCHEMA_EXISTS).await? {
            plain(&self.sql.schema_create).execute(&mut *tx).await?;
        }
        if !exists(&mut tx, STEPS_EXIST).await? {
            plain(&self.sql.schema_begin).execute(&mut *tx).await?;
        }
        let found = self.taken(&mut tx).await?;
        for step in steps::untaken(STEPS, &found) {
            plain(&qualify(step.sql, self.name)).execute(&mut *tx).await?;
            let add = sqlx::query(AssertSqlSafe(Arc::clone(&self.sql.schema_add)));
            let add = add.bind(step.number).bind(micros(now)).persistent(false);
            add.execute(&mut *tx).await?;
        }
        tx.commit().await?;
        Ok(found)
    }

    async fn taken(&self, connection: &mut PgConnection) -> sqlx::Result<Vec<i64>> {
        let query = sqlx::query_scalar(AssertSqlSafe(Arc::clone(&self.sql.schema_list)));
        query.persistent(false).fetch_all(connection).await
    }
}
