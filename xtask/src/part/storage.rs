//! Runs the storage tests on real PostgreSQL servers, directly and behind poolers.

use anyhow::{Result, ensure};

use crate::exec;
use crate::report::Outcome;
use crate::storage::Servers;
use crate::workspace::cargo;

const PACKAGE: [&str; 4] = ["-p", "portolan-storage-sql", "--features", "postgres"];

pub(super) fn run(outcome: &mut Outcome) -> Result<()> {
    let servers = Servers::start()?;
    // The tests run it as several processes.
    let (status, _) = exec::stream(cargo(&["build", "--example", "writer"]).args(PACKAGE))?;
    ensure!(status.success(), "the program that writes does not build");
    outcome.tests(
        cargo(&["test", "--lib", "--test", "postgres", "--no-fail-fast"])
            .args(PACKAGE)
            .envs(servers.variables())
            .env("RUST_BACKTRACE", "0"),
    );
    Ok(())
}
