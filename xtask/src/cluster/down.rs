//! Ending the cluster, running or wrecked, without a trace.

use std::fs;

use anyhow::{Context, Result};

use super::site::STATE;
use super::{containers, leftovers, mount, network, process, sysctl};

/// Removes what is there of it. Nothing in it is worth a graceful end: it is killed.
pub(super) fn down() -> Result<()> {
    // First those that would start containers anew, then the containers.
    process::kill_all()?;
    containers::kill_all()?;
    leftovers::remove();
    sysctl::restore();
    mount::remove_all()?;
    network::remove()?;
    match fs::remove_dir_all(STATE) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("cannot remove {STATE}"));
        }
        _ => {}
    }
    Ok(())
}
