//! Tools and real parts, kept in the user's cache by version, installed once.

pub(crate) mod apt;
pub(crate) mod cargo_fuzz;
pub(crate) mod deny;
pub(crate) mod golang;
pub(crate) mod node;
pub(crate) mod parts;
mod python;
pub(crate) mod runner;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::env;

/// How long one step of an installation may take.
const LIMIT: Duration = Duration::from_secs(600);

/// The cache folder of this name, made by `install` if it is not there yet.
///
/// The work happens in a folder beside it that is renamed at the end, so what an interrupted
/// installation leaves is never taken for a finished one.
pub(crate) fn once(name: &str, install: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    let cache = env::cache()?;
    let folder = cache.join(name);
    if folder.is_dir() {
        return Ok(folder);
    }
    let draft = cache.join(format!(".{name}.{}", std::process::id()));
    if draft.exists() {
        fs::remove_dir_all(&draft)?;
    }
    fs::create_dir_all(&draft).with_context(|| format!("cannot write to {}", cache.display()))?;
    let installed = install(&draft).and_then(|()| match fs::rename(&draft, &folder) {
        Err(error) if !folder.is_dir() => Err(error.into()),
        _ => Ok(()),
    });
    if draft.exists() {
        fs::remove_dir_all(&draft)?;
    }
    installed.map(|()| folder)
}
