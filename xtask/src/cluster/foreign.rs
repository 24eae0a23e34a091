//! An existing cluster, named by `KUBECONFIG`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use super::kubectl::Kubectl;
use crate::{env, exec};

/// The label of the test namespaces. Nothing else in that cluster is changed.
const LABEL: &str = "app.kubernetes.io/part-of=portolan-test";

const LOAD_LIMIT: Duration = Duration::from_secs(300);

/// The cluster and a kubectl for it.
#[derive(Debug)]
pub(crate) struct Foreign {
    kubeconfig: PathBuf,
    kubectl: Kubectl,
}

impl Foreign {
    pub(super) fn new(kubeconfig: OsString) -> Result<Self> {
        let program = env::find_program("kubectl").context("kubectl is missing; install it, or unset KUBECONFIG")?;
        let kubeconfig = PathBuf::from(kubeconfig);
        Ok(Self {
            kubectl: Kubectl::new(&program, &kubeconfig),
            kubeconfig,
        })
    }

    pub(super) fn kubeconfig(&self) -> PathBuf {
        self.kubeconfig.clone()
    }

    /// Checks that it responds.
    pub(super) fn check(&self) -> Result<()> {
        let named = self.kubeconfig.display();
        self.kubectl.run(&["get", "--raw", "/readyz"]).with_context(|| {
            format!("KUBECONFIG is set to {named}, and its cluster does not answer; unset it to use one of our own")
        })?;
        println!("using the cluster of {named}, context {}", self.context()?);
        Ok(())
    }

    /// Deletes the test namespaces, by their label.
    pub(super) fn clean(&self) -> Result<()> {
        self.check()?;
        let told = self
            .kubectl
            .run_within("120s", &["delete", "namespaces", "--selector", LABEL])?;
        print!("{told}");
        println!("the cluster stays up: this program did not start it");
        Ok(())
    }

    /// Loads the images into a kind cluster. How other clusters load images is unknown.
    pub(super) fn load(&self, archive: &Path) -> Result<()> {
        let context = self.context()?;
        let shown = archive.display();
        let Some(name) = context.strip_prefix("kind-") else {
            println!("load {shown} with the tool of this cluster: only kind is supported");
            return Ok(());
        };
        let kind = env::find_program("kind").context("kind is missing; install it to load images into its clusters")?;
        let mut command = Command::new(kind);
        command.args(["load", "image-archive", "--name", name]).arg(archive);
        let log = env::cache()?.join("kind.log");
        exec::quietly(
            &format!("loading {shown} into {context}"),
            &mut command,
            &log,
            LOAD_LIMIT,
        )
    }

    fn context(&self) -> Result<String> {
        Ok(self.kubectl.run(&["config", "current-context"])?.trim().to_owned())
    }
}
