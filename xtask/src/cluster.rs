//! `cargo xtask cluster`: a one-node Kubernetes cluster on this machine, for tests.
//!
//! There is one per machine, in a fixed directory, whichever checkout started it. If `KUBECONFIG` is set, the cluster that it
//! names is used instead, and nothing is started.

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
use self::lock::Lease;

/// The usage of the command.
const HELP: &str = "\
cargo xtask cluster up | down | status | images | load IMAGE.tar
    up      starts a one-node Kubernetes on this machine, as root, and prints where its kubeconfig is
    down    ends it and leaves nothing behind
    status  says what runs
    images  builds the images of the tests and loads them
    load    loads an image from a docker-archive
    With KUBECONFIG set, that cluster is used instead and nothing is started.";

/// The cluster of the commands.
#[derive(Debug)]
pub(crate) enum Cluster {
    /// The cluster that this program starts.
    Own,
    /// The cluster that `KUBECONFIG` names.
    Foreign(Foreign),
}

/// Runs the command, and returns whether it succeeded.
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
        _ => bail!("unknown command; usage:\n{HELP}"),
    }
    Ok(true)
}

impl Cluster {
    /// Returns our cluster, unless `KUBECONFIG` names another one.
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

    /// Starts it if needed, and returns whether it was down before.
    pub(crate) fn up(&self) -> Result<bool> {
        match self {
            Self::Own => {
                let _lock = lock::exclusive()?;
                up::up(&Binaries::ready()?)
            }
            Self::Foreign(foreign) => foreign.check().map(|()| false),
        }
    }

    /// Prevents others from shutting it down while the lock is held.
    pub(crate) fn lease(&self) -> Result<Option<Lease>> {
        match self {
            Self::Own => Lease::take().map(Some),
            Self::Foreign(_) => Ok(None),
        }
    }

    /// Shuts it down, unless a test run is using it.
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

    /// Builds the images of the tests, and loads those that the cluster does not have yet.
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
