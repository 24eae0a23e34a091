//! The state directory, a tmpfs, and the mounts below it: file systems of containers, volumes of pods, network
//! namespaces.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::site::STATE;
use crate::exec;

/// The size limit: more than images, logs and etcd need. Unused space takes no memory.
const SIZE: &str = "size=6g,mode=711";

/// Creates the state directory in memory: thousands of small files are slow to create and remove on a disk, and useless
/// after a reboot.
pub(super) fn make() -> Result<()> {
    fs::create_dir(STATE).with_context(|| format!("cannot create {STATE}"))?;
    let mut command = Command::new("mount");
    exec::output(command.args(["-t", "tmpfs", "-o", SIZE, "portolan-cluster", STATE])).map(drop)
}

/// Unmounts everything, innermost first. Fails if a mount remains, because the directory must not be removed then.
pub(super) fn remove_all() -> Result<()> {
    let points = points()?;
    for some in points.chunks(100) {
        // Lazily: a network namespace that is being removed may still hold one.
        exec::output(Command::new("umount").arg("--lazy").args(some))?;
    }
    let left = self::points()?;
    ensure!(left.is_empty(), "still mounted: {}", left.join(", "));
    Ok(())
}

fn points() -> Result<Vec<String>> {
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    let below = format!("{STATE}/");
    let points = mounts.lines().filter_map(|line| line.split(' ').nth(1));
    let ours = points.filter(|point| *point == STATE || point.starts_with(&below));
    let mut points: Vec<String> = ours.map(str::to_owned).collect();
    points.reverse();
    Ok(points)
}
