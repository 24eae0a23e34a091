//! Runs `cargo deny`: licences, banned crates, sources and known vulnerabilities.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use crate::report::Outcome;
use crate::workspace::root;
use crate::{env, exec, tools};

const DATABASE_LIMIT: Duration = Duration::from_secs(60);

pub(super) fn run(outcome: &mut Outcome) -> Result<()> {
    let program = tools::deny::program()?;
    outcome.command(
        "banned crates, licences, sources",
        deny(&program).args(["check", "--hide-inclusion-graph", "bans", "licenses", "sources"]),
    );
    let log = env::cache()?.join("advisory-database.log");
    let fetched = exec::quietly(
        "fetching the advisory database",
        deny(&program).args(["fetch", "db"]),
        &log,
        DATABASE_LIMIT,
    );
    if fetched.is_err() {
        outcome.note("advisories: not checked (database not reachable)");
        return Ok(());
    }
    outcome.command(
        "advisories",
        deny(&program).args(["check", "--disable-fetch", "advisories"]),
    );
    Ok(())
}

fn deny(program: &Path) -> Command {
    let mut command = Command::new(program);
    // The root is a package, too; without this option cargo-deny would check only that package.
    command.current_dir(root()).arg("--workspace");
    command
}
