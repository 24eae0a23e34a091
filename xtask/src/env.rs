//! The environment variables that xtask reads.
#![expect(
    clippy::disallowed_methods,
    reason = "a developer command is configured by its environment"
)]

use std::env::var_os;
use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::{Context, Result};

/// Returns the cargo that started xtask, so that all commands use its toolchain.
pub(crate) fn cargo() -> OsString {
    var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// Returns Portolan's folder in the user's cache.
pub(crate) fn cache() -> Result<PathBuf> {
    let base = match var_os("XDG_CACHE_HOME").filter(|path| !path.is_empty()) {
        Some(path) => PathBuf::from(path),
        None => PathBuf::from(var_os("HOME").context("neither XDG_CACHE_HOME nor HOME is set")?).join(".cache"),
    };
    Ok(base.join("portolan"))
}

/// Finds a program on the search path.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    let path = var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

/// Returns `KUBECONFIG`, if it is set.
pub(crate) fn kubeconfig() -> Option<OsString> {
    var_os("KUBECONFIG").filter(|path| !path.is_empty())
}

/// Returns `TEST_DATABASE_URL`, if it is set.
pub(crate) fn test_database_url() -> Option<String> {
    var_os("TEST_DATABASE_URL")?
        .into_string()
        .ok()
        .filter(|url| !url.is_empty())
}

/// Returns the search path.
pub(crate) fn search_path() -> String {
    var_os("PATH").unwrap_or_default().to_string_lossy().into_owned()
}
