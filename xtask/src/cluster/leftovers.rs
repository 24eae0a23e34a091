//! Files that the programs of the cluster write at fixed paths.

use std::fs;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use super::site::{self, STATE};

const SHIM_SOCKETS: &str = "/run/containerd/s";
const NETWORK_RESULTS: &str = "/var/lib/cni/results";
const LOG_LINKS: &str = "/var/log/containers";
const DEVICE_PLUGINS: &str = "/var/lib/kubelet/device-plugins";

/// Removes our files, then the directories that are empty. Call it while the state directory exists and nothing runs in it.
///
/// A missing file, and a directory that others use too, are not errors.
pub(super) fn remove() {
    let sockets = site::path("containerd/state/io.containerd.runtime.v2.task/k8s.io");
    for task in entries(&sockets) {
        let address = fs::read_to_string(task.join("address")).unwrap_or_default();
        if let Some(socket) = address.trim().strip_prefix("unix://") {
            let _ = fs::remove_file(socket);
        }
    }
    // Each names its network namespace, and ours are below the state directory.
    for result in entries(Path::new(NETWORK_RESULTS)) {
        if fs::read_to_string(&result).is_ok_and(|text| text.contains(STATE)) {
            let _ = fs::remove_file(result);
        }
    }
    for link in entries(Path::new(LOG_LINKS)) {
        if fs::read_link(&link).is_ok_and(|target| target.starts_with(STATE)) {
            let _ = fs::remove_file(link);
        }
    }
    let plugins = Path::new(DEVICE_PLUGINS).join("kubelet.sock");
    if plugins.exists() && UnixStream::connect(&plugins).is_err() {
        let _ = fs::remove_file(plugins);
    }
    for folder in [SHIM_SOCKETS, NETWORK_RESULTS, LOG_LINKS, DEVICE_PLUGINS] {
        let folder = Path::new(folder);
        let _ = fs::remove_dir(folder);
        if let Some(parent) = folder.parent().filter(|parent| *parent != Path::new("/var/log")) {
            let _ = fs::remove_dir(parent);
        }
    }
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).collect()
}
