//! The workspace, as cargo describes it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::env;

/// Features beyond the default ones, for lints and docs.
pub(crate) const FEATURES: &str = "portolan/postgres,portolan/k8s-latest,portolan/conformance,portolan-process/bridge";

/// Returns the workspace's folder.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("xtask lies inside the workspace")
}

/// Returns a cargo command that runs in the workspace's folder.
pub(crate) fn cargo(args: &[&str]) -> Command {
    let mut command = Command::new(env::cargo());
    command.current_dir(root()).args(args);
    command
}

/// A published package with a library.
#[derive(Debug)]
pub(crate) struct Library {
    pub(crate) name: String,
    /// The folder with `lib.rs`.
    pub(crate) src: PathBuf,
}

/// The output of `cargo metadata`, without dependencies.
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

    /// Returns cargo's target folder.
    pub(crate) fn target_dir(&self) -> PathBuf {
        self.0["target_directory"].as_str().unwrap_or("target").into()
    }

    /// Returns the names of all packages.
    pub(crate) fn packages(&self) -> Vec<String> {
        let packages = self.0["packages"].as_array().into_iter().flatten();
        packages
            .filter_map(|package| package["name"].as_str().map(str::to_owned))
            .collect()
    }

    /// Returns the addresses in the manifests, each with the name of its package.
    pub(crate) fn links(&self) -> Vec<(String, String)> {
        let packages = self.0["packages"].as_array().into_iter().flatten();
        packages
            .flat_map(|package| {
                let links = ["repository", "homepage", "documentation"].map(|field| package[field].as_str());
                let name = package["name"].as_str().unwrap_or_default();
                links
                    .into_iter()
                    .flatten()
                    .map(|link| (name.to_owned(), link.to_owned()))
                    .collect::<Vec<_>>()
            })
            .collect()
    }

    /// Returns the names of the published packages with a library.
    pub(crate) fn libraries(&self) -> Vec<String> {
        self.library_sources().into_iter().map(|library| library.name).collect()
    }

    /// Returns the published packages with a library.
    pub(crate) fn library_sources(&self) -> Vec<Library> {
        let packages = self.0["packages"].as_array().into_iter().flatten();
        packages
            .filter(|package| package["publish"].is_null() && has_library(package))
            .filter_map(|package| {
                let manifest = Path::new(package["manifest_path"].as_str()?);
                Some(Library {
                    name: package["name"].as_str()?.to_owned(),
                    src: manifest.parent()?.join("src"),
                })
            })
            .collect()
    }
}

fn has_library(package: &Value) -> bool {
    let targets = package["targets"].as_array().into_iter().flatten();
    targets
        .flat_map(|target| target["kind"].as_array().into_iter().flatten())
        .any(|kind| kind == "lib")
}
