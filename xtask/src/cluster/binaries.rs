//! The programs of the cluster, in the cache of the user.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};

use crate::tools::golang::{self, Build};
use crate::tools::{apt, once};
use crate::versions::{COREDNS, KUBERNETES};
use crate::{env, exec};

const COMPONENTS: &[&str] = &[
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kubelet",
    "kube-proxy",
    "kubectl",
];

/// The Debian packages, unpacked and not installed: an installed containerd would start and replace another package.
const PACKAGES: &[&str] = &[
    "etcd-server",
    "containerd",
    "runc",
    "containernetworking-plugins",
    "busybox-static",
];

/// The directories of the programs.
#[derive(Debug)]
pub(super) struct Binaries {
    kubernetes: PathBuf,
    coredns: PathBuf,
    debian: PathBuf,
}

impl Binaries {
    /// Builds and downloads what is missing: about five minutes, once.
    pub(super) fn ready() -> Result<Self> {
        Ok(Self {
            kubernetes: once(&format!("kubernetes-{KUBERNETES}"), build_kubernetes)?,
            coredns: once(&format!("coredns-{COREDNS}"), build_coredns)?,
            debian: once("cluster-debian", unpack)?,
        })
    }

    /// Returns the path of a program of Kubernetes.
    pub(super) fn kubernetes(&self, name: &str) -> PathBuf {
        self.kubernetes.join(name)
    }

    pub(super) fn coredns(&self) -> PathBuf {
        self.coredns.join("coredns")
    }

    /// Returns the path of a program from Debian.
    pub(super) fn debian(&self, name: &str) -> PathBuf {
        self.debian.join("usr/bin").join(name)
    }

    /// Returns the directory of the CNI plugins.
    pub(super) fn cni(&self) -> PathBuf {
        self.debian.join("usr/lib/cni")
    }

    /// Returns a search path with these programs first.
    pub(super) fn search_path(&self) -> String {
        let ours = ["usr/bin", "usr/sbin"].map(|folder| self.debian.join(folder).display().to_string());
        format!("{}:{}", ours.join(":"), env::search_path())
    }
}

/// Returns a static busybox, for images.
pub(super) fn busybox() -> Result<PathBuf> {
    Ok(once("cluster-debian", unpack)?.join("bin/busybox"))
}

fn build_kubernetes(draft: &Path) -> Result<()> {
    let packages: Vec<String> = COMPONENTS
        .iter()
        .map(|name| format!("k8s.io/kubernetes/cmd/{name}"))
        .collect();
    let build = Build {
        module: "k8s.io/kubernetes",
        version: &format!("v{KUBERNETES}"),
        packages: &packages,
        main: None,
        // Without it, the server reports v0.0.0-master, which clients cannot parse.
        ldflags: &format!("-s -w -X k8s.io/component-base/version.gitVersion=v{KUBERNETES}"),
        siblings: Some(&KUBERNETES.replacen("1.", "v0.", 1)),
    };
    golang::build("building Kubernetes (about five minutes, once)", &build, draft)?;
    for name in COMPONENTS {
        let arguments: &[&str] = if *name == "kubectl" {
            &["version", "--client"]
        } else {
            &["--version"]
        };
        verify(&draft.join(name), arguments, KUBERNETES)?;
    }
    Ok(())
}

fn build_coredns(draft: &Path) -> Result<()> {
    let build = Build {
        module: "github.com/coredns/coredns",
        version: &format!("v{COREDNS}"),
        packages: &[".".to_owned()],
        main: Some(include_str!("../../assets/cluster/coredns.go")),
        ldflags: "-s -w",
        siblings: None,
    };
    golang::build("building CoreDNS (about a minute, once)", &build, draft)?;
    verify(&draft.join("coredns"), &["-version"], COREDNS)
}

fn unpack(draft: &Path) -> Result<()> {
    apt::unpack(PACKAGES, draft)?;
    for name in ["usr/bin/etcd", "usr/bin/containerd", "usr/sbin/runc"] {
        exec::output(Command::new(draft.join(name)).arg("--version"))?;
    }
    Ok(())
}

fn verify(program: &Path, arguments: &[&str], version: &str) -> Result<()> {
    let told = exec::output(Command::new(program).args(arguments))?;
    let told = told.lines().next().unwrap_or_default();
    ensure!(
        told.contains(version),
        "{} says it is {told:?}, not {version}",
        program.display()
    );
    Ok(())
}
