//! `cargo xtask bench`: builds the benchmark and the programs that it measures in release mode, and runs it.

use std::process::Command;

use anyhow::{Result, ensure};

use crate::exec;
use crate::workspace::{Workspace, cargo, root};

const BUILDS: &[&[&str]] = &[
    &["build", "--release", "-p", "portolan-bench"],
    &["build", "--release", "-p", "portolan", "--example", "gateway_only"],
    &[
        "build",
        "--release",
        "-p",
        "portolan-process",
        "--example",
        "process_stdio_fixture",
    ],
];

/// Builds and runs the benchmark with the given arguments; returns whether it succeeded.
pub(crate) fn run(args: &[String]) -> Result<bool> {
    for build in BUILDS {
        let (status, _) = exec::stream(&mut cargo(build))?;
        ensure!(status.success(), "{}: {status}", build.join(" "));
    }
    let program = Workspace::read()?.target_dir().join("release/portolan-bench");
    let (status, _) = exec::stream(Command::new(program).current_dir(root()).args(args))?;
    Ok(status.success())
}
