//! Runs the storage tests on real PostgreSQL servers, directly and behind poolers.

use anyhow::{Result, ensure};

use crate::report::Outcome;
use crate::storage::Servers;
use crate::workspace::{cargo, root};
use crate::{env, exec};

const PACKAGE: [&str; 4] = ["-p", "portolan-storage-sql", "--features", "postgres"];

pub(super) fn run(outcome: &mut Outcome) -> Result<()> {
    let servers = Servers::start()?;
    // The tests run them as several processes.
    let (status, _) = exec::stream(cargo(&["build", "--examples"]).args(PACKAGE))?;
    ensure!(status.success(), "the programs of the tests do not build");
    outcome.tests(
        cargo(&["test", "--lib", "--test", "postgres", "--no-fail-fast"])
            .args(PACKAGE)
            .envs(servers.variables())
            .env("RUST_BACKTRACE", "0"),
    );
    // Its sealing keys stay there, for a server that stays.
    let keys = env::cache()?.join("replicas");
    std::fs::create_dir_all(&keys)?;
    outcome.command(
        "two replicas of a platform, of which one is killed",
        cargo(&[
            "run",
            "-p",
            "portolan",
            "--example",
            "replicas",
            "--features",
            "postgres",
        ])
        .args(["--manifest-path"])
        .arg(root().join("Cargo.toml"))
        .arg("--")
        .arg(servers.address())
        .current_dir(&keys),
    );
    Ok(())
}
