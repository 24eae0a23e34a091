//! Tools, real servers and real clients, installed once per version into the user's cache.

pub(crate) mod apt;
pub(crate) mod cargo_fuzz;
pub(crate) mod deny;
pub(crate) mod golang;
pub(crate) mod node;
pub(crate) mod parts;
pub(crate) mod pgbouncer;
pub(crate) mod postgres;
mod python;
pub(crate) mod runner;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::env;

/// The time limit of one step of an installation.
const LIMIT: Duration = Duration::from_secs(600);

/// Returns the cache folder of this name, and creates it by `install` if it does not exist.
///
/// `install` works in a temporary folder that is renamed at the end, so an interrupted
/// installation never looks complete.
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
