//! Removes the cluster without a trace, running or broken.

use std::fs;

use anyhow::{Context, Result};

use super::site::STATE;
use super::{containers, leftovers, mount, network, process, sysctl};

/// Removes everything. Processes are killed, because nothing in the cluster has to be kept.
pub(super) fn down() -> Result<()> {
    // The processes that would restart containers first, then the containers.
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
