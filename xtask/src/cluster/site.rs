//! Where the cluster lies on this machine: one folder, one address, ports of its own.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Everything that the running cluster writes. Not in anyone's home: there is one cluster per machine.
pub(super) const STATE: &str = "/var/lib/portolan-cluster";

/// The node's address, on a bridge of its own: nothing depends on the machine's network.
pub(super) const ADDRESS: &str = "10.123.0.1";
pub(super) const BRIDGE: &str = "portolan0";
pub(super) const NODE: &str = "portolan";

pub(super) const PODS: &str = "10.244.0.0/16";
pub(super) const SERVICES: &str = "10.96.0.0/16";
/// The first address of `SERVICES`: the API server's, from inside.
pub(super) const API_SERVICE: &str = "10.96.0.1";
/// The API server's port on the node. Not the usual one, which may be taken.
pub(super) const API_PORT: &str = "16443";

/// A path below the state folder.
pub(super) fn path(name: &str) -> PathBuf {
    Path::new(STATE).join(name)
}

/// The administrator's kubeconfig.
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

/// A template with what is known about this place filled in.
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

/// A template with each `{name}` replaced by its value.
pub(super) fn fill_with(template: &str, values: &[(&str, &str)]) -> String {
    values.iter().fold(template.to_owned(), |text, (name, value)| {
        text.replace(&format!("{{{name}}}"), value)
    })
}
