//! The command lines of the cluster's processes.

use std::path::PathBuf;

use anyhow::Result;

use super::binaries::Binaries;
use super::images::PAUSE;
use super::process;
use super::site::{self, ADDRESS, API_PORT, NODE, PODS, SERVICES};

/// All components, in the order of their start.
pub(super) const ALL: &[&str] = &[
    "etcd",
    "containerd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kubelet",
    "kube-proxy",
    "coredns",
];

const ETCD: &str = "https://127.0.0.1:23790";
const REGISTRY_PORT: &str = "5000";
const ETCD_PEER: &str = "http://127.0.0.1:23800";

/// Starts the component `name`, whose files must exist.
pub(super) fn start(name: &str, binaries: &Binaries) -> Result<()> {
    let (program, args) = match name {
        "etcd" => (binaries.debian(name), etcd()),
        "containerd" => containerd(binaries)?,
        "coredns" => coredns(binaries)?,
        "kube-apiserver" => (binaries.kubernetes(name), api_server()),
        "kube-controller-manager" => (binaries.kubernetes(name), controller_manager()),
        "kubelet" => kubelet(binaries)?,
        "kube-proxy" => (binaries.kubernetes(name), proxy()),
        _ => (binaries.kubernetes(name), scheduler()),
    };
    process::start(name, &program, &args, &binaries.search_path())
}

fn etcd() -> Vec<String> {
    let mut args = flags(&[
        ("name", NODE),
        ("listen-client-urls", ETCD),
        ("advertise-client-urls", ETCD),
        ("listen-peer-urls", ETCD_PEER),
        ("initial-advertise-peer-urls", ETCD_PEER),
        ("client-cert-auth", "true"),
        ("log-level", "warn"),
        // A test cluster may lose its data in a power failure.
        ("unsafe-no-fsync", "true"),
    ]);
    args.push(format!("--initial-cluster={NODE}={ETCD_PEER}"));
    args.extend(files(&[
        ("data-dir", "etcd"),
        ("cert-file", "server.crt"),
        ("key-file", "server.key"),
        ("trusted-ca-file", "ca.crt"),
    ]));
    args
}

fn api_server() -> Vec<String> {
    let mut args = flags(&[
        ("bind-address", ADDRESS),
        ("advertise-address", ADDRESS),
        ("secure-port", API_PORT),
        ("etcd-servers", ETCD),
        ("authorization-mode", "Node,RBAC"),
        ("enable-admission-plugins", "NodeRestriction"),
        ("allow-privileged", "true"),
        ("service-cluster-ip-range", SERVICES),
        ("service-account-issuer", "https://kubernetes.default.svc.cluster.local"),
        // Otherwise logs, exec and attach resolve the node by its name.
        ("kubelet-preferred-address-types", "InternalIP"),
        ("profiling", "false"),
    ]);
    args.extend(files(&[
        ("tls-cert-file", "server.crt"),
        ("tls-private-key-file", "server.key"),
        ("client-ca-file", "ca.crt"),
        ("etcd-cafile", "ca.crt"),
        ("etcd-certfile", "server.crt"),
        ("etcd-keyfile", "server.key"),
        ("kubelet-client-certificate", "server.crt"),
        ("kubelet-client-key", "server.key"),
        ("service-account-key-file", "accounts.pub"),
        ("service-account-signing-key-file", "accounts.key"),
        ("token-auth-file", "tokens.csv"),
    ]));
    args
}

fn controller_manager() -> Vec<String> {
    let mut args = flags(&[
        ("leader-elect", "false"),
        ("secure-port", "0"),
        ("use-service-account-credentials", "true"),
        ("kube-api-qps", "200"),
        ("kube-api-burst", "400"),
    ]);
    args.extend(files(&[
        ("kubeconfig", "kube-controller-manager.kubeconfig"),
        ("service-account-private-key-file", "accounts.key"),
        ("root-ca-file", "ca.crt"),
    ]));
    args
}

fn scheduler() -> Vec<String> {
    let mut args = flags(&[("leader-elect", "false"), ("secure-port", "0")]);
    args.extend(files(&[("kubeconfig", "kube-scheduler.kubeconfig")]));
    args
}

fn containerd(binaries: &Binaries) -> Result<(PathBuf, Vec<String>)> {
    site::write(
        "cni/pods.conflist",
        &site::fill(include_str!("../../assets/cluster/pods.conflist")),
    )?;
    registries()?;
    let cni = binaries.cni().display().to_string();
    let config = site::fill_with(
        include_str!("../../assets/cluster/containerd.toml"),
        &[("cni", &cni), ("pause", PAUSE)],
    );
    let config = site::write("containerd.toml", &site::fill(&config))?;
    let args = vec![format!("--config={}", config.display())];
    Ok((binaries.debian("containerd"), args))
}

/// No image is downloaded: one that is not loaded fails at once. A test may start a registry on the address of the node.
fn registries() -> Result<()> {
    let own = format!("{ADDRESS}:{REGISTRY_PORT}");
    for (registry, address) in [("_default", "127.0.0.1:9"), (&own, &own)] {
        let text = format!(
            "server = \"http://{address}\"\n\n[host.\"http://{address}\"]\ncapabilities = [\"pull\", \"resolve\"]\n"
        );
        site::write(&format!("registries/{registry}/hosts.toml"), &text)?;
    }
    Ok(())
}

fn kubelet(binaries: &Binaries) -> Result<(PathBuf, Vec<String>)> {
    site::write(
        "kubelet.yaml",
        &site::fill(include_str!("../../assets/cluster/kubelet.yaml")),
    )?;
    let mut args = flags(&[("hostname-override", NODE), ("node-ip", ADDRESS)]);
    args.extend(files(&[
        ("config", "kubelet.yaml"),
        ("kubeconfig", "kubelet.kubeconfig"),
        ("root-dir", "kubelet"),
        ("cert-dir", "kubelet/pki"),
    ]));
    Ok((binaries.kubernetes("kubelet"), args))
}

fn proxy() -> Vec<String> {
    let mut args = flags(&[
        ("proxy-mode", "nftables"),
        ("hostname-override", NODE),
        ("cluster-cidr", PODS),
        ("conntrack-max-per-core", "0"),
        ("healthz-bind-address", "127.0.0.1:20256"),
        ("metrics-bind-address", "127.0.0.1:20249"),
    ]);
    args.extend(files(&[("kubeconfig", "kube-proxy.kubeconfig")]));
    args
}

fn coredns(binaries: &Binaries) -> Result<(PathBuf, Vec<String>)> {
    let file = site::write("Corefile", &site::fill(include_str!("../../assets/cluster/Corefile")))?;
    Ok((binaries.coredns(), vec!["-conf".to_owned(), file.display().to_string()]))
}

fn flags(flags: &[(&str, &str)]) -> Vec<String> {
    flags.iter().map(|(name, value)| format!("--{name}={value}")).collect()
}

/// Returns flags whose values are files in the state directory.
fn files(flags: &[(&str, &str)]) -> Vec<String> {
    let flag = |(name, file): &(&str, &str)| format!("--{name}={}", site::path(file).display());
    flags.iter().map(flag).collect()
}
