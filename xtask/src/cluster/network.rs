//! The bridge of the node, and the route out of the cluster.

use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};

use super::site::{self, ADDRESS, BRIDGE, PODS};
use super::wait;
use crate::exec;
use crate::tools::apt;

const MASQUERADE: &str = include_str!("../../assets/cluster/masquerade.nft");

/// The nftables tables of kube-proxy and of this program.
const TABLES: &[(&str, &str)] = &[("ip", "portolan"), ("ip", "kube-proxy"), ("ip6", "kube-proxy")];

pub(super) fn make() -> Result<()> {
    let rules = site::write("masquerade.nft", &site::fill(MASQUERADE))?;
    ip(&["link", "add", BRIDGE, "type", "bridge"])?;
    ip(&["addr", "add", &format!("{ADDRESS}/32"), "dev", BRIDGE])?;
    ip(&["link", "set", BRIDGE, "up"])?;
    exec::output(Command::new(nft()?).arg("-f").arg(rules)).map(drop)
}

/// Removes bridge and routes. Waits until the interfaces of pods are gone with their network namespaces.
pub(super) fn remove() -> Result<()> {
    if ip(&["link", "show", BRIDGE]).is_ok() {
        ip(&["link", "delete", BRIDGE])?;
    }
    let nft = nft()?;
    let tables = exec::output(Command::new(&nft).args(["list", "tables"]))?;
    for (family, table) in TABLES {
        if tables.lines().any(|line| line == format!("table {family} {table}")) {
            exec::output(Command::new(&nft).args(["delete", "table", family, table]))?;
        }
    }
    wait::until("the pods' interfaces", Duration::from_secs(10), &[], || {
        let routes = ip(&["route", "show", "root", PODS])?;
        ensure!(routes.is_empty(), "routes remain: {routes}");
        Ok(())
    })
}

fn ip(args: &[&str]) -> Result<String> {
    let program = apt::ensure_program("ip", "iproute2")?;
    exec::output(Command::new(program).args(args))
}

fn nft() -> Result<std::path::PathBuf> {
    apt::ensure_program("nft", "nftables")
}
