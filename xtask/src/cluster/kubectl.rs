//! Calls of kubectl.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use crate::exec;

/// A kubectl for one cluster.
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

    /// Runs it and returns its output. Fails after a few seconds.
    pub(super) fn run(&self, args: &[&str]) -> Result<String> {
        self.run_within("5s", args)
    }

    /// Runs it with another time limit.
    pub(super) fn run_within(&self, limit: &str, args: &[&str]) -> Result<String> {
        let mut command = Command::new(&self.program);
        command.args(args).arg(format!("--request-timeout={limit}"));
        command.arg("--kubeconfig").arg(&self.kubeconfig);
        exec::output(&mut command)
    }
}
