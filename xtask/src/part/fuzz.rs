//! The fuzz targets, for a few seconds each: long enough to find what a change has just broken.

use anyhow::Result;

use crate::fuzz::{self, Fuzzing};
use crate::report::Outcome;

/// How long each runs, in seconds.
const SECONDS: u64 = 10;

pub(super) fn run(outcome: &mut Outcome) -> Result<()> {
    let fuzzing = Fuzzing::build()?;
    for target in fuzz::targets()? {
        outcome.check(&target, || fuzzing.run(&target, SECONDS));
    }
    Ok(())
}
