//! Installs the real servers and clients of the end-to-end tests into one folder:
//! `bin/node`, `npm/node_modules` and `python/bin/python`.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::{node, once, python};
use crate::workspace::root;

/// The folder with the pinned versions, below the workspace's folder.
const PINS: &str = "crates/e2e/parts";

/// Returns the folder, and installs it if it does not exist. Its name depends on all pinned versions.
pub(crate) fn folder() -> Result<PathBuf> {
    let pins = root().join(PINS);
    let node = node::program()?;
    let mut hasher = DefaultHasher::new();
    node.hash(&mut hasher);
    for file in ["package.json", "package-lock.json", "requirements.txt"] {
        fs::read(pins.join(file))
            .with_context(|| format!("cannot read {PINS}/{file}"))?
            .hash(&mut hasher);
    }
    once(&format!("parts-{:016x}", hasher.finish()), |draft| {
        install(&pins, &node, draft)
    })
}

/// Returns a key of all pinned versions, for the names of derived files.
pub(crate) fn key(folder: &Path) -> String {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    name.trim_start_matches("parts-").to_owned()
}

fn install(pins: &Path, node: &Path, draft: &Path) -> Result<()> {
    fs::create_dir(draft.join("bin"))?;
    std::os::unix::fs::symlink(node, draft.join("bin/node"))?;

    let npm = draft.join("npm");
    fs::create_dir(&npm)?;
    for file in ["package.json", "package-lock.json"] {
        fs::copy(pins.join(file), npm.join(file))?;
    }
    node::npm("installing npm packages", &npm, &["ci", "--ignore-scripts"])?;

    let requirements = pins.join("requirements.txt");
    let requirements = requirements.to_str().context("the workspace's path is not text")?;
    python::environment(&draft.join("python"), &["-r", requirements])
}
