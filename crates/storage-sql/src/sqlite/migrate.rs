//! The schema: numbered steps that are only ever added to.

use jiff::Timestamp;

use super::{Database, micros, sql};
use crate::error::{Result, SqlError};

/// The steps from each version of the schema to the next. A released step is never changed.
const STEPS: &[&str] = &[
    include_str!("migrations/0001_initial.sql"),
    include_str!("migrations/0003_tool_sets.sql"),
];

/// Brings the schema up to date, all of it or nothing.
///
/// The write lock is taken first, so that of several processes that start at once one does the work, and the others
/// find it done.
pub(super) async fn run(database: &Database, now: Timestamp) -> Result<()> {
    let fault = database.fault("bring the schema up to date");
    let known = i64::try_from(STEPS.len()).unwrap_or(i64::MAX);
    let found = steps(database, known, now).await.map_err(fault)?;
    if found <= known {
        return Ok(());
    }
    let place = database.place.clone();
    Err(SqlError::TooNew { place, found, known })
}

/// Runs the missing steps and returns the version that was found.
async fn steps(database: &Database, known: i64, now: Timestamp) -> sqlx::Result<i64> {
    let mut tx = database.write().await?;
    sqlx::raw_sql(sql!("schema_create")).execute(&mut *tx).await?;
    let found: i64 = sqlx::query_scalar(sql!("schema_version")).fetch_one(&mut *tx).await?;
    if found > known {
        tx.rollback().await?;
        return Ok(found);
    }
    for (number, step) in (1..).zip(STEPS).filter(|(number, _)| *number > found) {
        sqlx::raw_sql(*step).execute(&mut *tx).await?;
        let added = sqlx::query(sql!("schema_add")).bind(number).bind(micros(now));
        added.execute(&mut *tx).await?;
    }
    tx.commit().await?;
    Ok(found)
}
