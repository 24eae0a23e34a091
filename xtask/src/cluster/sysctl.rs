//! Kernel settings that the cluster changes and restores.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::site;

const FORWARDING: &str = "net/ipv4/ip_forward";

/// The settings that this program, kubelet and kube-proxy change.
const CHANGED: &[&str] = &[
    FORWARDING,
    "net/ipv4/conf/all/route_localnet",
    "net/netfilter/nf_conntrack_tcp_be_liberal",
    "net/netfilter/nf_conntrack_tcp_timeout_close_wait",
    "net/netfilter/nf_conntrack_tcp_timeout_established",
    "vm/overcommit_memory",
    "kernel/panic",
    "kernel/panic_on_oops",
    "kernel/keys/root_maxbytes",
    "kernel/keys/root_maxkeys",
];

const NOTE: &str = "sysctl";

/// Saves the settings, then enables IP forwarding.
pub(super) fn set() -> Result<()> {
    let noted: Vec<String> = CHANGED
        .iter()
        .filter_map(|name| Some(format!("{name} {}", fs::read_to_string(file(name)).ok()?.trim())))
        .collect();
    site::write(NOTE, &noted.join("\n"))?;
    fs::write(file(FORWARDING), "1").context("cannot enable IP forwarding")
}

/// Restores the saved settings.
pub(super) fn restore() {
    let noted = fs::read_to_string(site::path(NOTE)).unwrap_or_default();
    for (name, value) in noted.lines().filter_map(|line| line.split_once(' ')) {
        // A setting that is gone, as with its module, needs no restoring.
        if CHANGED.contains(&name) && fs::read_to_string(file(name)).is_ok_and(|now| now.trim() != value) {
            let _ = fs::write(file(name), value);
        }
    }
}

fn file(name: &str) -> PathBuf {
    Path::new("/proc/sys").join(name)
}
