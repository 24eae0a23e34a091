//! `cargo xtask cluster`: runs a one-node Kubernetes on this machine, for tests.
//!
//! All checkouts share one cluster per machine, in a fixed folder. With `KUBECONFIG`
//! set, the commands use that cluster instead and start nothing.

mod binaries;
mod certificate;
mod components;
mod containers;
mod dns;
mod down;
mod foreign;
mod images;
mod kubeconfig;
mod kubectl;
mod leftovers;
mod lock;
mod mount;
mod network;
mod process;
mod site;
mod status;
mod sysctl;
mod up;
mod wait;

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use self::binaries::Binaries;
use self::foreign::Foreign;
use self::lock::UsageLock;

/// The usage text.
const HELP: &str = "\
cargo xtask cluster up | down | status | images | load IMAGE.tar
    up      starts a one-node Kubernetes on this machine, as root, and prints where its kubeconfig is
    down    ends it and leaves nothing behind
    status  says what runs
    images  builds the images of the tests and loads them
    load    loads an image from a docker-archive
    With KUBECONFIG set, that cluster is used instead and nothing is started.";

/// The cluster that the commands use.
#[derive(Debug)]
pub(crate) enum Cluster {
    /// The cluster that xtask starts on this machine.
    Own,
    /// The cluster of `KUBECONFIG`.
    Foreign(Foreign),
}

/// Runs the command; returns whether it succeeded.
pub(crate) fn run(args: &[String]) -> Result<bool> {
    let cluster = Cluster::chosen()?;
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["up"] => {
            cluster.up()?;
            println!("KUBECONFIG={}", cluster.kubeconfig().display());
        }
        ["down"] => cluster.down()?,
        ["status"] => return cluster.status(),
        ["images"] => cluster.load_all()?,
        ["load", archive] => cluster.load(Path::new(archive))?,
        _ => bail!("there are\n{HELP}"),
    }
    Ok(true)
}

impl Cluster {
    /// Returns the cluster of `KUBECONFIG`, or the local one if that is unset or names the local one.
    pub(crate) fn chosen() -> Result<Self> {
        match crate::env::kubeconfig() {
            Some(named) if named != site::kubeconfig().as_os_str() => Ok(Self::Foreign(Foreign::new(named)?)),
            _ => Ok(Self::Own),
        }
    }

    /// Returns the path of the administrator's kubeconfig.
    pub(crate) fn kubeconfig(&self) -> PathBuf {
        match self {
            Self::Own => site::kubeconfig(),
            Self::Foreign(foreign) => foreign.kubeconfig(),
        }
    }

    /// Starts the cluster unless it runs; returns whether it was down.
    pub(crate) fn up(&self) -> Result<bool> {
        match self {
            Self::Own => {
                let _lock = lock::exclusive()?;
                up::up(&Binaries::ready()?)
            }
            Self::Foreign(foreign) => foreign.check().map(|()| false),
        }
    }

    /// Prevents other commands from stopping the cluster while the lock is held.
    pub(crate) fn lock_usage(&self) -> Result<Option<UsageLock>> {
        match self {
            Self::Own => UsageLock::take().map(Some),
            Self::Foreign(_) => Ok(None),
        }
    }

    /// Stops the cluster, unless a test run is using it.
    pub(crate) fn down(&self) -> Result<()> {
        match self {
            Self::Own => {
                let _lock = lock::exclusive()?;
                let _alone = lock::alone()?;
                down::down()?;
                println!("the cluster is down");
                Ok(())
            }
            Self::Foreign(foreign) => foreign.clean(),
        }
    }

    /// Builds the test images and loads those that the cluster does not have.
    pub(crate) fn load_all(&self) -> Result<()> {
        match self {
            Self::Own => {
                let _lock = lock::exclusive()?;
                up::ensure_up()?;
                let binaries = Binaries::ready()?;
                images::build(|image| containers::load_new(&binaries, image))
            }
            Self::Foreign(foreign) => images::build(|image| foreign.load(&image.archive)),
        }
    }

    fn load(&self, archive: &Path) -> Result<()> {
        match self {
            Self::Own => {
                let _lock = lock::exclusive()?;
                up::ensure_up()?;
                containers::load(&Binaries::ready()?, archive)
            }
            Self::Foreign(foreign) => foreign.load(archive),
        }
    }

    fn status(&self) -> Result<bool> {
        match self {
            Self::Own => status::print(),
            Self::Foreign(foreign) => foreign.check().map(|()| true),
        }
    }
}
