//! Stops the cluster and removes all of its traces, also after a crash.

use std::fs;

use anyhow::{Context, Result};

use super::site::STATE;
use super::{containers, leftovers, mount, network, process, sysctl};

/// Kills all processes and removes all state.
pub(super) fn down() -> Result<()> {
    // First the processes that would restart containers, then the containers.
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
