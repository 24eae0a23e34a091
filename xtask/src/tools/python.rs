//! Python environments.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use super::{LIMIT, apt};
use crate::exec;

/// Creates an environment in `folder` with these packages (arguments of `pip install`).
///
/// The folder may be moved as long as its programs are run by `bin/python -m`.
pub(super) fn environment(folder: &Path, packages: &[&str]) -> Result<()> {
    let python = apt::ensure_program("python3", "python3 python3-venv")?;
    let log = folder.with_extension("log");
    let make = || {
        let mut command = Command::new(&python);
        exec::quietly(
            "making a Python environment",
            command.args(["-m", "venv"]).arg(folder),
            &log,
            LIMIT,
        )
    };
    if make().is_err() {
        apt::install("python3-venv")?;
        make()?;
    }
    let mut pip = Command::new(folder.join("bin/python"));
    pip.args(["-m", "pip", "install", "--no-input", "--disable-pip-version-check"])
        .args(packages);
    exec::quietly("installing Python packages", &mut pip, &log, LIMIT)?;
    std::fs::remove_file(log)?;
    Ok(())
}
