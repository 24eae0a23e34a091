//! The program `cargo-fuzz`.

use std::path::PathBuf;

use anyhow::Result;

use super::{LIMIT, once};
use crate::versions::CARGO_FUZZ;
use crate::workspace::cargo;
use crate::{env, exec};

/// Returns the program on the search path, or else the pinned one in the cache.
pub(crate) fn program() -> Result<PathBuf> {
    if let Some(found) = env::find_program("cargo-fuzz") {
        return Ok(found);
    }
    let folder = once(&format!("cargo-fuzz-{CARGO_FUZZ}"), |draft| {
        let mut command = cargo(&["install", "cargo-fuzz", "--locked", "--version", CARGO_FUZZ, "--root"]);
        command.arg(draft).env("CARGO_TARGET_DIR", draft.join("target"));
        exec::quietly(
            &format!("installing cargo-fuzz {CARGO_FUZZ}"),
            &mut command,
            &draft.join("install.log"),
            LIMIT,
        )?;
        std::fs::remove_dir_all(draft.join("target"))?;
        Ok(())
    })?;
    Ok(folder.join("bin/cargo-fuzz"))
}
