//! Node.js and npm packages.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use super::{LIMIT, apt, once};
use crate::versions::{NODE, NODE_AT_LEAST};
use crate::{env, exec};

/// Returns a Node.js that is new enough: the machine's, or else the pinned one in the cache.
pub(crate) fn program() -> Result<PathBuf> {
    at_least(NODE_AT_LEAST)
}

/// Returns a Node.js of at least this version.
pub(crate) fn at_least(least: u32) -> Result<PathBuf> {
    if let Some(found) = env::find_program("node")
        && major(&found).is_some_and(|major| major >= least)
    {
        return Ok(found);
    }
    let folder = once(&format!("node-{NODE}"), |draft| {
        npm(
            &format!("installing Node.js {NODE}"),
            draft,
            &["install", &format!("node@{NODE}")],
        )
    })?;
    Ok(folder.join("node_modules/.bin/node"))
}

/// Runs npm in `folder`.
pub(super) fn npm(what: &str, folder: &Path, args: &[&str]) -> Result<()> {
    let npm = apt::ensure_program("npm", "nodejs npm")?;
    let log = folder.join("npm.log");
    let mut command = Command::new(npm);
    command
        .current_dir(folder)
        .args(args)
        .args(["--no-audit", "--no-fund", "--no-update-notifier"]);
    exec::quietly(what, &mut command, &log, LIMIT)?;
    std::fs::remove_file(log)?;
    Ok(())
}

/// Parses `v22.23.3` to 22.
fn major(node: &Path) -> Option<u32> {
    let version = exec::output(Command::new(node).arg("--version")).ok()?;
    version.trim().strip_prefix('v')?.split('.').next()?.parse().ok()
}
