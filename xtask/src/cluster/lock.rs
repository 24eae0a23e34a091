//! Locks the cluster, which all checkouts of a machine share.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

/// The folder of the lock file. A file lock ends with its process, unlike the existence of a file.
const FOLDER: &str = "/run/lock";

/// The time limit for a command of another checkout, which may be building Kubernetes.
const LIMIT: Duration = Duration::from_secs(45 * 60);

/// A lock on the cluster for a test run. Several runs may hold it.
#[derive(Debug)]
pub(crate) struct UsageLock(#[expect(dead_code, reason = "holding it open is its use")] File);

impl UsageLock {
    pub(super) fn take() -> Result<Self> {
        let file = open("portolan-cluster.use")?;
        file.lock_shared().context("cannot mark the cluster as used")?;
        Ok(Self(file))
    }
}

/// Locks the cluster for a change. Waits for commands of other checkouts.
pub(super) fn exclusive() -> Result<File> {
    ensure!(
        rustix::process::geteuid().is_root(),
        "the cluster is run as root; or set KUBECONFIG to use another, as of kind"
    );
    let file = open("portolan-cluster.lock")?;
    let start = Instant::now();
    let mut told = false;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if start.elapsed() < LIMIT => {}
            Err(error) => return Err(error).context("another command has held the cluster's lock for too long"),
        }
        if !told {
            println!("waiting for another `cargo xtask cluster` command to end …");
            told = true;
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// Locks the cluster to stop it. Fails while a test run uses it.
pub(super) fn alone() -> Result<File> {
    let file = open("portolan-cluster.use")?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => bail!("a test run is using the cluster: try again when it has ended"),
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
