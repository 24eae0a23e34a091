//! One cluster per machine, however many checkouts there are.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

/// Survives neither a reboot nor the program that holds it, unlike a file that merely exists.
const FOLDER: &str = "/run/lock";

/// How long another checkout's command may take: it may be building Kubernetes.
const LIMIT: Duration = Duration::from_secs(45 * 60);

/// Held while a test run uses the cluster, together with other runs.
#[derive(Debug)]
pub(crate) struct Lease(#[expect(dead_code, reason = "holding it open is its use")] File);

impl Lease {
    pub(super) fn take() -> Result<Self> {
        let file = open("portolan-cluster.use")?;
        file.lock_shared().context("cannot mark the cluster as used")?;
        Ok(Self(file))
    }
}

/// Held while a command changes the cluster. Waits for another checkout's command to end.
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

/// Held while the cluster is taken down: fails while a test run uses it.
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
