//! Runs each fuzz target for a few seconds, long enough to find recent faults.

use anyhow::Result;

use crate::fuzz::{self, Fuzzing};
use crate::report::Outcome;

/// The time for each target, in seconds.
const SECONDS: u64 = 10;

pub(super) fn run(outcome: &mut Outcome) -> Result<()> {
    let fuzzing = Fuzzing::build()?;
    for target in fuzz::targets()? {
        outcome.check(&target, || fuzzing.run(&target, SECONDS));
    }
    Ok(())
}
