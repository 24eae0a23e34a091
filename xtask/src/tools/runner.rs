//! The official conformance runner.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;

use anyhow::{Context, Result};

use super::{node, once};
use crate::workspace::root;

/// The runner does not start under an older Node.js.
pub(crate) const NODE_AT_LEAST: u32 = 22;

/// The folder with its pinned version, below the workspace's folder.
const PINS: &str = "conformance/runner";

/// Returns the folder with `node_modules`, and installs it if it does not exist. Its name depends on the pinned versions.
pub(crate) fn folder() -> Result<PathBuf> {
    let pins = root().join(PINS);
    let mut hasher = DefaultHasher::new();
    for file in ["package.json", "package-lock.json"] {
        fs::read(pins.join(file))
            .with_context(|| format!("cannot read {PINS}/{file}"))?
            .hash(&mut hasher);
    }
    once(&format!("conformance-{:016x}", hasher.finish()), |draft| {
        for file in ["package.json", "package-lock.json"] {
            fs::copy(pins.join(file), draft.join(file))?;
        }
        node::npm("installing the conformance runner", draft, &["ci", "--ignore-scripts"])
    })
}
