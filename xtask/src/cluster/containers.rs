//! Containers, images and cgroups.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::binaries::Binaries;
use super::images::Image;
use super::{process, site};
use crate::exec;

const CGROUPS: &str = "/sys/fs/cgroup";
/// The cgroup of all pods, also named in `kubelet.yaml`.
const GROUP: &str = "portolan";

/// Creates the cgroup of all pods in every hierarchy, as kubelet requires.
pub(super) fn make_group() -> Result<()> {
    let unified = Path::new(CGROUPS).join("cgroup.subtree_control");
    if unified.exists() {
        for controller in ["cpu", "cpuset", "memory", "pids", "io", "hugetlb"] {
            // Kubelet does not need hierarchies that the kernel lacks.
            let _ = fs::write(&unified, format!("+{controller}"));
        }
    }
    for group in groups() {
        fs::create_dir_all(&group).with_context(|| format!("cannot create {}", group.display()))?;
    }
    Ok(())
}

/// Kills every container of the cluster: all their processes are in one cgroup.
pub(super) fn kill_all() -> Result<()> {
    process::kill_until_gone("containers of the cluster", || {
        groups().iter().flat_map(|group| members(group)).collect()
    })?;
    for group in groups().iter().filter(|group| group.exists()) {
        remove_tree(group)?;
    }
    Ok(())
}

/// Loads an image from a docker archive.
pub(super) fn load(binaries: &Binaries, archive: &Path) -> Result<()> {
    ensure!(archive.is_file(), "the file {} does not exist", archive.display());
    let told = exec::output(
        Command::new(binaries.debian("ctr"))
            .arg("--address")
            .arg(site::path("containerd.sock"))
            .args([
                "--namespace",
                "k8s.io",
                "--timeout",
                "120s",
                "images",
                "import",
                "--digests=false",
            ])
            .arg(archive),
    )?;
    print!("{told}");
    Ok(())
}

/// Loads an image of the tests, unless the same version is loaded already.
pub(super) fn load_new(binaries: &Binaries, image: &Image) -> Result<()> {
    let note = format!("loaded/{}", image.name.replace('/', "_"));
    if fs::read_to_string(site::path(&note)).is_ok_and(|loaded| loaded == image.id) {
        return Ok(());
    }
    load(binaries, &image.archive)?;
    site::write(&note, &image.id).map(drop)
}

/// Returns our cgroup in each hierarchy: several under cgroup v1, one under v2.
fn groups() -> Vec<PathBuf> {
    let root = Path::new(CGROUPS);
    if root.join("cgroup.controllers").exists() {
        return vec![root.join(GROUP)];
    }
    let hierarchies = fs::read_dir(root).into_iter().flatten().flatten();
    hierarchies
        .filter(|entry| entry.path().join("cgroup.procs").exists() && !entry.path().is_symlink())
        .map(|entry| entry.path().join(GROUP))
        .collect()
}

fn members(group: &Path) -> Vec<i32> {
    let own = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
    let own: Vec<i32> = own.lines().filter_map(|line| line.parse().ok()).collect();
    let below = folders(group).into_iter().flat_map(|folder| members(&folder));
    own.into_iter().chain(below).collect()
}

/// Removes a cgroup and its children. The files in it belong to the kernel and go with it.
fn remove_tree(group: &Path) -> Result<()> {
    for folder in folders(group) {
        remove_tree(&folder)?;
    }
    fs::remove_dir(group).with_context(|| format!("cannot remove {}", group.display()))
}

fn folders(group: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(group).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
}
