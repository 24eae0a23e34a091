//! The place of the cluster on this machine: one directory, one address, fixed ports.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The directory of everything that the running cluster writes. Not in a home directory, because there is one cluster per
/// machine.
pub(super) const STATE: &str = "/var/lib/portolan-cluster";

/// The address of the node, on a bridge of its own, independent of the machine's network.
pub(super) const ADDRESS: &str = "10.123.0.1";
pub(super) const BRIDGE: &str = "portolan0";
pub(super) const NODE: &str = "portolan";

pub(super) const PODS: &str = "10.244.0.0/16";
pub(super) const SERVICES: &str = "10.96.0.0/16";
/// The first address of `SERVICES`: that of the API server inside of the cluster.
pub(super) const API_SERVICE: &str = "10.96.0.1";
/// The port of the API server on the node. Not the usual one, which may be in use.
pub(super) const API_PORT: &str = "16443";

/// Returns a path below the state directory.
pub(super) fn path(name: &str) -> PathBuf {
    Path::new(STATE).join(name)
}

/// Returns the path of the administrator's kubeconfig.
pub(super) fn kubeconfig() -> PathBuf {
    path("admin.kubeconfig")
}

/// Writes a file below the state directory.
pub(super) fn write(name: &str, text: &str) -> Result<PathBuf> {
    let path = path(name);
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

/// Fills a template with the addresses, ports and paths of this module.
pub(super) fn fill(template: &str) -> String {
    fill_with(
        template,
        &[
            ("state", STATE),
            ("address", ADDRESS),
            ("pods", PODS),
            ("services", SERVICES),
        ],
    )
}

/// Replaces each `{name}` in a template by its value.
pub(super) fn fill_with(template: &str, values: &[(&str, &str)]) -> String {
    values.iter().fold(template.to_owned(), |text, (name, value)| {
        text.replace(&format!("{{{name}}}"), value)
    })
}
