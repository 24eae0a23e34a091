//! The programs that a run needs: the runner, the fixture server, and the gateway.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::cell::{Cell, Target};
use crate::exec;
use crate::tools::{node, runner};
use crate::workspace::{Workspace, cargo};

/// The example of the crate `portolan-e2e` that runs the gateway as the suite's client.
///
/// The runner starts it with its server's URL as the last argument and the scenario's name in
/// `MCP_CONFORMANCE_SCENARIO`.
const CLIENT: &str = "conformance_client";

/// The paths of the programs.
#[derive(Debug)]
pub(super) struct Programs {
    node: PathBuf,
    runner: PathBuf,
    debug: PathBuf,
    /// Returns the version of the runner.
    pub(super) version: String,
}

impl Programs {
    /// Installs the runner and builds what these cells need.
    pub(super) fn prepare(cells: &[&Cell]) -> Result<Self> {
        let folder = runner::folder()?;
        let package = folder.join("node_modules/@modelcontextprotocol/conformance");
        let manifest = std::fs::read(package.join("package.json"))?;
        let manifest: Value = serde_json::from_slice(&manifest)?;
        build(&["build", "-p", "portolan-fixtures", "--bin", "everything"])?;
        if cells.iter().any(|cell| matches!(cell.target, Target::Gateway(_))) {
            build(&["build", "-p", "portolan", "--example", "gateway_only"])?;
        }
        Ok(Self {
            node: node::at_least(runner::NODE_AT_LEAST)?,
            runner: package,
            debug: Workspace::read()?.target_dir().join("debug"),
            version: manifest["version"]
                .as_str()
                .context("the runner has no version")?
                .to_owned(),
        })
    }

    /// Returns a command of the runner.
    pub(super) fn runner(&self) -> Command {
        let mut command = Command::new(&self.node);
        command.arg(self.runner.join("dist/index.js"));
        command
    }

    /// Returns the path of the runner's list of required scenarios.
    pub(super) fn requirements(&self, revision: &str) -> PathBuf {
        self.runner.join(format!("requirements/{revision}.yaml"))
    }

    pub(super) fn fixture(&self) -> Command {
        Command::new(self.debug.join("everything"))
    }

    pub(super) fn gateway(&self) -> Command {
        Command::new(self.debug.join("examples/gateway_only"))
    }

    /// Builds the gateway as the suite's client.
    pub(super) fn client(&self) -> Result<PathBuf> {
        exec::output(&mut cargo(&["build", "-p", "portolan-e2e", "--example", CLIENT]))?;
        Ok(self.debug.join("examples").join(CLIENT))
    }

    /// Returns the folder for a cell's results and logs.
    pub(super) fn results(&self, cell: &str) -> PathBuf {
        let target = self.debug.parent().unwrap_or(&self.debug);
        target.join("conformance").join(cell)
    }
}

fn build(args: &[&str]) -> Result<()> {
    let (status, _) = exec::stream(&mut cargo(args))?;
    ensure!(status.success(), "{}: {status}", args.join(" "));
    Ok(())
}
