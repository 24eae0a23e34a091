//! Locks for the one cluster of a machine, which all checkouts share.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

/// The directory of the locks. A lock ends with a reboot and with the program that holds it, unlike the existence of a file.
const FOLDER: &str = "/run/lock";

/// How long to wait for another checkout's command, which may be building Kubernetes.
const LIMIT: Duration = Duration::from_secs(45 * 60);

/// Locks the cluster for a test run, shared with other runs.
#[derive(Debug)]
pub(crate) struct Lease(#[expect(dead_code, reason = "holding it open is its use")] File);

impl Lease {
    pub(super) fn take() -> Result<Self> {
        let file = open("portolan-cluster.use")?;
        file.lock_shared().context("cannot lock the cluster for a test run")?;
        Ok(Self(file))
    }
}

/// Locks the cluster for a command that changes it. Waits for the commands of other checkouts.
pub(super) fn exclusive() -> Result<File> {
    ensure!(
        rustix::process::geteuid().is_root(),
        "the cluster is run as root; or set KUBECONFIG to use another, as of kind"
    );
    let file = open("portolan-cluster.lock")?;
    let start = Instant::now();
    let mut announced = false;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if start.elapsed() < LIMIT => {}
            Err(error) => return Err(error).context("another command has held the lock of the cluster for too long"),
        }
        if !announced {
            println!("waiting for another `cargo xtask cluster` command to end …");
            announced = true;
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// Locks the cluster for its shutdown. Fails while a test run uses it.
pub(super) fn alone() -> Result<File> {
    let file = open("portolan-cluster.use")?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => bail!("a test run is using the cluster; retry when it has ended"),
        Err(error) => Err(error.into()),
    }
}

fn open(name: &str) -> Result<File> {
    fs::create_dir_all(FOLDER)?;
    OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(format!("{FOLDER}/{name}"))
        .with_context(|| format!("cannot open {FOLDER}/{name}"))
}
