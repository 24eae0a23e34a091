//! The schema: numbered steps that are only ever added to.

use jiff::Timestamp;
use sqlx::SqliteConnection;

use super::{Database, micros, sql};
use crate::{
    config::Migrations,
    error::Result,
    steps::{self, Step},
};

/// The steps. A released one is never changed.
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
        sql: include_str!("migrations/0004_bus.sql"),
    },
    Step {
        number: 5,
        sql: include_str!("migrations/0005_audit.sql"),
    },
];

/// Brings the schema up to date, all of it or nothing, or only looks whether it is.
///
/// The write lock is taken first, so that of several processes that start at once one does the work, and the others
/// find it done.
pub(super) async fn bring_up(database: &Database, migrations: Migrations, now: Timestamp) -> Result<()> {
    let found = match migrations {
        Migrations::Run => run(database, now).await,
        Migrations::Verify => look(database).await,
    };
    let found = found.map_err(database.fault("bring the schema up to date"))?;
    let missing = steps::missing(STEPS, &found, &database.place)?;
    if migrations == Migrations::Verify && !missing.is_empty() {
        return Err(steps::outdated(&missing, &database.place));
    }
    Ok(())
}

/// Returns the numbers of the steps that were taken.
async fn look(database: &Database) -> sqlx::Result<Vec<i64>> {
    let mut connection = database.readers.acquire().await?;
    match sqlx::query_scalar(sql!("schema_exists"))
        .fetch_one(&mut *connection)
        .await?
    {
        true => taken(&mut connection).await,
        false => Ok(Vec::new()),
    }
}

/// Takes the missing steps, unless there are some that this release does not know, and returns those that had been taken.
async fn run(database: &Database, now: Timestamp) -> sqlx::Result<Vec<i64>> {
    let mut tx = database.write().await?;
    sqlx::raw_sql(sql!("schema_create")).execute(&mut *tx).await?;
    let found = taken(&mut tx).await?;
    if found
        .iter()
        .any(|number| STEPS.iter().all(|step| step.number < *number))
    {
        tx.rollback().await?;
        return Ok(found);
    }
    for step in steps::untaken(STEPS, &found) {
        sqlx::raw_sql(step.sql).execute(&mut *tx).await?;
        let added = sqlx::query(sql!("schema_add")).bind(step.number).bind(micros(now));
        added.execute(&mut *tx).await?;
    }
    tx.commit().await?;
    Ok(found)
}

async fn taken(connection: &mut SqliteConnection) -> sqlx::Result<Vec<i64>> {
    sqlx::query_scalar(sql!("schema_list")).fetch_all(connection).await
}
