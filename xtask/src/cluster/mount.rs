//! The state folder, which lies in memory, and what is mounted below it: containers' file systems, pods' volumes,
//! network namespaces.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::site::STATE;
use crate::exec;

/// More than images, logs and etcd ever come to here; what is not used takes no memory.
const SIZE: &str = "size=6g,mode=711";

/// Makes the state folder. In memory, because thousands of small files are slow to make on a disk, slower still
/// to remove, and worth nothing after a reboot.
pub(super) fn make() -> Result<()> {
    fs::create_dir(STATE).with_context(|| format!("cannot make {STATE}"))?;
    let mut command = Command::new("mount");
    exec::output(command.args(["-t", "tmpfs", "-o", SIZE, "portolan-cluster", STATE])).map(drop)
}

/// Unmounts all of it, the innermost first. Fails if something remains: the folder must not be removed then.
pub(super) fn remove_all() -> Result<()> {
    let points = points()?;
    for some in points.chunks(100) {
        // Lazily, as a namespace that is just being torn down may still hold one.
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
