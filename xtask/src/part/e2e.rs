//! Runs the tests with real servers and real clients.

use anyhow::{Context, Result, ensure};

use crate::exec;
use crate::report::Outcome;
use crate::tools;
use crate::workspace::{Workspace, cargo};

pub(super) fn run(outcome: &mut Outcome) -> Result<()> {
    tools::apt::ensure_program("git", "git")?;
    let parts = tools::parts::folder().context("the real servers and clients could not be installed")?;
    let (status, _) = exec::stream(&mut cargo(&["build", "-p", "portolan", "--example", "gateway_only"]))?;
    ensure!(status.success(), "the gateway under test does not build");
    let gateway = Workspace::read()?.target_dir().join("debug/examples/gateway_only");
    outcome.tests(
        cargo(&["test", "-p", "portolan-e2e", "--no-fail-fast"])
            .env("PORTOLAN_PARTS", parts)
            .env("PORTOLAN_GATEWAY", gateway)
            .env("RUST_BACKTRACE", "0"),
    );
    Ok(())
}
