//! Steps of a schema: numbered, and only ever added to.

use std::sync::Arc;

use crate::error::{Result, SqlError};

/// A step from one state of the schema to the next.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    pub(crate) number: i64,
    pub(crate) sql: &'static str,
}

/// Returns the steps that are not among those `taken`, in order.
pub(crate) fn untaken<'a>(steps: &'a [Step], taken: &[i64]) -> impl Iterator<Item = &'a Step> {
    steps.iter().filter(move |step| !taken.contains(&step.number))
}

/// Returns the numbers of the steps that are not among those `taken`, and refuses a schema of a newer release, which has
/// steps that this one does not know.
pub(crate) fn missing(steps: &[Step], taken: &[i64], place: &Arc<str>) -> Result<Vec<i64>> {
    let known = steps.last().map_or(0, |step| step.number);
    let found = taken.iter().copied().max().unwrap_or(0);
    if found > known {
        let place = Arc::clone(place);
        return Err(SqlError::TooNew { place, found, known });
    }
    Ok(untaken(steps, taken).map(|step| step.number).collect())
}

/// The error of a schema that lacks steps where none may be taken.
pub(crate) fn outdated(missing: &[i64], place: &Arc<str>) -> SqlError {
    SqlError::Outdated {
        place: Arc::clone(place),
        missing: missing.to_vec(),
    }
}
