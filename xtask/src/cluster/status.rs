//! The status of the cluster.

use anyhow::Result;

use super::binaries::Binaries;
use super::kubectl::Kubectl;
use super::{components, process, site, up};
use crate::versions::{COREDNS, KUBERNETES};

/// Prints the status, and returns whether the cluster is up.
pub(super) fn print() -> Result<bool> {
    if !site::path("").exists() {
        println!("the cluster is down");
        return Ok(false);
    }
    let mut memory = 0;
    for name in components::ALL {
        match process::pid(name) {
            Some(pid) => {
                let own = process::memory(pid);
                memory += own;
                println!("{name:<26}{pid:>8}{:>7} MiB", own >> 20);
            }
            None => println!("{name:<26} not running; {}", process::last_lines(name)),
        }
    }
    println!("{:<34}{:>7} MiB", "total", memory >> 20);
    println!("Kubernetes {KUBERNETES}, CoreDNS {COREDNS}");
    let up = up::is_up();
    if up {
        let kubectl = Binaries::ready()?.kubernetes("kubectl");
        print!(
            "{}",
            Kubectl::new(&kubectl, &site::kubeconfig()).run(&["get", "nodes"])?
        );
        println!("kubeconfig {}", site::kubeconfig().display());
    } else {
        println!("the cluster is incomplete; `cargo xtask cluster up` cleans up and starts it again");
    }
    Ok(up)
}
