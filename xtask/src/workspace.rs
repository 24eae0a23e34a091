//! What cargo knows about this workspace.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::env;

/// The workspace's folder.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("xtask lies inside the workspace")
}

/// A cargo command in the workspace's folder.
pub(crate) fn cargo(args: &[&str]) -> Command {
    let mut command = Command::new(env::cargo());
    command.current_dir(root()).args(args);
    command
}

/// What `cargo metadata` says, dependencies left out.
#[derive(Debug)]
pub(crate) struct Workspace(Value);

impl Workspace {
    pub(crate) fn read() -> Result<Self> {
        let output = cargo(&["metadata", "--no-deps", "--format-version", "1"])
            .output()
            .context("cannot run cargo")?;
        ensure!(
            output.status.success(),
            "cargo metadata: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
        Ok(Self(serde_json::from_slice(&output.stdout)?))
    }

    /// Where cargo builds to.
    pub(crate) fn target_dir(&self) -> PathBuf {
        self.0["target_directory"].as_str().unwrap_or("target").into()
    }

    /// The published packages that have a library.
    pub(crate) fn libraries(&self) -> Vec<String> {
        let packages = self.0["packages"].as_array().into_iter().flatten();
        packages
            .filter(|package| package["publish"].is_null() && has_library(package))
            .filter_map(|package| package["name"].as_str().map(str::to_owned))
            .collect()
    }
}

fn has_library(package: &Value) -> bool {
    let targets = package["targets"].as_array().into_iter().flatten();
    targets
        .flat_map(|target| target["kind"].as_array().into_iter().flatten())
        .any(|kind| kind == "lib")
}
