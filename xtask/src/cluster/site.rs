//! The cluster's folder, addresses and ports on this machine.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The state folder. It is in nobody's home, because there is one cluster per machine.
pub(super) const STATE: &str = "/var/lib/portolan-cluster";

/// The node's address, on its own bridge, independent of the machine's network.
pub(super) const ADDRESS: &str = "10.123.0.1";
pub(super) const BRIDGE: &str = "portolan0";
pub(super) const NODE: &str = "portolan";

pub(super) const PODS: &str = "10.244.0.0/16";
pub(super) const SERVICES: &str = "10.96.0.0/16";
/// The address of the API server inside the cluster, the first of `SERVICES`.
pub(super) const API_SERVICE: &str = "10.96.0.1";
/// The API server's port on the node. It is not the default port, which may be in use.
pub(super) const API_PORT: &str = "16443";

/// Returns a path below the state folder.
pub(super) fn path(name: &str) -> PathBuf {
    Path::new(STATE).join(name)
}

/// Returns the path of the administrator's kubeconfig.
pub(super) fn kubeconfig() -> PathBuf {
    path("admin.kubeconfig")
}

/// Writes a file below the state folder.
pub(super) fn write(name: &str, text: &str) -> Result<PathBuf> {
    let path = path(name);
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

/// Fills folders, addresses and ports into a template.
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

/// Replaces each `{name}` of a template by its value.
pub(super) fn fill_with(template: &str, values: &[(&str, &str)]) -> String {
    values.iter().fold(template.to_owned(), |text, (name, value)| {
        text.replace(&format!("{{{name}}}"), value)
    })
}
