//! The few environment variables that these commands read.
#![expect(
    clippy::disallowed_methods,
    reason = "a developer command is configured by its environment"
)]

use std::env::var_os;
use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::{Context, Result};

/// The cargo that runs us, so that its toolchain is used throughout.
pub(crate) fn cargo() -> OsString {
    var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// Our folder in the user's cache.
pub(crate) fn cache() -> Result<PathBuf> {
    let base = match var_os("XDG_CACHE_HOME").filter(|path| !path.is_empty()) {
        Some(path) => PathBuf::from(path),
        None => PathBuf::from(var_os("HOME").context("neither XDG_CACHE_HOME nor HOME is set")?).join(".cache"),
    };
    Ok(base.join("portolan"))
}

/// Where a program of this name is on the search path.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    let path = var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

/// The kubeconfig that the user has chosen, if any.
pub(crate) fn kubeconfig() -> Option<OsString> {
    var_os("KUBECONFIG").filter(|path| !path.is_empty())
}

/// The search path for programs.
pub(crate) fn search_path() -> String {
    var_os("PATH").unwrap_or_default().to_string_lossy().into_owned()
}
