//! Runs kubectl.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use crate::exec;

/// kubectl for one cluster.
#[derive(Debug)]
pub(super) struct Kubectl {
    program: PathBuf,
    kubeconfig: PathBuf,
}

impl Kubectl {
    pub(super) fn new(program: &Path, kubeconfig: &Path) -> Self {
        Self {
            program: program.to_owned(),
            kubeconfig: kubeconfig.to_owned(),
        }
    }

    /// Returns the output of a command, which must succeed within a few seconds.
    pub(super) fn run(&self, args: &[&str]) -> Result<String> {
        self.run_within("5s", args)
    }

    /// Returns the output of a command, which must succeed within the limit.
    pub(super) fn run_within(&self, limit: &str, args: &[&str]) -> Result<String> {
        let mut command = Command::new(&self.program);
        command.args(args).arg(format!("--request-timeout={limit}"));
        command.arg("--kubeconfig").arg(&self.kubeconfig);
        exec::output(&mut command)
    }
}
