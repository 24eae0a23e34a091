//! Runs all tests of the workspace that need only Rust.

use anyhow::Result;

use crate::report::Outcome;
use crate::workspace::cargo;

pub(super) fn run(outcome: &mut Outcome) -> Result<()> {
    outcome.tests(&mut cargo(&[
        "test",
        "--workspace",
        "--exclude",
        "portolan-e2e",
        "--features",
        "portolan/k8s-latest,portolan-process/bridge",
        "--no-fail-fast",
    ]));
    Ok(())
}
