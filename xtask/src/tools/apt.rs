//! Debian packages, installed where we may.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::LIMIT;
use crate::{env, exec};

/// Where `program` is; the Debian packages that bring it are installed if it is missing.
pub(crate) fn ensure_program(program: &str, packages: &str) -> Result<PathBuf> {
    if let Some(found) = env::find_program(program) {
        return Ok(found);
    }
    install(packages)?;
    env::find_program(program).with_context(|| format!("{packages} brought no program named {program}"))
}

/// Installs Debian packages, their names separated by spaces.
pub(super) fn install(packages: &str) -> Result<()> {
    let may = env::find_program("apt-get").is_some()
        && exec::output(Command::new("id").arg("-u")).is_ok_and(|user| user.trim() == "0");
    ensure!(
        may,
        "please install {packages} (on Debian, as root: apt-get install {packages})"
    );
    let cache = env::cache()?;
    std::fs::create_dir_all(&cache)?;
    let log = cache.join("apt-get.log");
    exec::quietly(
        "updating the list of Debian packages",
        Command::new("apt-get").arg("update"),
        &log,
        LIMIT,
    )?;
    let mut command = Command::new("apt-get");
    command
        .env("DEBIAN_FRONTEND", "noninteractive")
        .args(["install", "-y", "--no-install-recommends"]);
    exec::quietly(
        &format!("installing {packages}"),
        command.args(packages.split(' ')),
        &log,
        LIMIT,
    )
}
