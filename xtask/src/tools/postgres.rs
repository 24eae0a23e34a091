//! PostgreSQL's server programs.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use super::apt;
use crate::{env, exec};

/// Where Debian puts the programs of each version.
const DEBIAN: &str = "/usr/lib/postgresql";

/// Returns the folder with `postgres` and `initdb`: the machine's, or else Debian's, which is installed.
pub(crate) fn programs() -> Result<PathBuf> {
    if let Some(found) = find() {
        return Ok(found);
    }
    apt::install("postgresql")?;
    find().context("Debian's postgresql brought no server programs")
}

fn find() -> Option<PathBuf> {
    let told = env::find_program("pg_config")
        .and_then(|program| exec::output(Command::new(program).arg("--bindir")).ok())
        .map(|folder| PathBuf::from(folder.trim()));
    let mut versions: Vec<(u32, PathBuf)> = std::fs::read_dir(DEBIAN)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let version = entry.file_name().to_str()?.parse().ok()?;
            Some((version, entry.path().join("bin")))
        })
        .collect();
    versions.sort();
    let newest_first = versions.into_iter().rev().map(|(_, folder)| folder);
    told.into_iter()
        .chain(newest_first)
        .find(|folder| folder.join("postgres").is_file() && folder.join("initdb").is_file())
}
