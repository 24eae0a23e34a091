//! Starts the cluster: a Ready node with Services and DNS.

use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::binaries::Binaries;
use super::kubectl::Kubectl;
use super::site::{self, API_SERVICE, NODE};
use super::{
    certificate, components, containers, dns, down, images, kubeconfig, mount, network, process, sysctl, wait,
};

const LIMIT: Duration = Duration::from_secs(60);

/// Starts the cluster unless it runs, and returns whether it did. Cleans up after a crash and after a failed start.
pub(super) fn up(binaries: &Binaries) -> Result<bool> {
    if is_up() && answers(binaries) {
        println!("the cluster is up");
        return Ok(false);
    }
    if site::path("").exists() {
        println!("cleaning up after an earlier cluster …");
        down::down()?;
    }
    let start = Instant::now();
    println!("starting the cluster …");
    if let Err(error) = bring_up(binaries) {
        // The message contains the end of the log, because the directory of the log is removed.
        down::down().with_context(|| format!("cannot clean up after a failed start ({error:#})"))?;
        return Err(error).context("the cluster did not start");
    }
    println!("the cluster is up after {:.1} s", start.elapsed().as_secs_f32());
    Ok(true)
}

/// Returns whether the API server responds soon: a test run of another checkout may have suspended it.
fn answers(binaries: &Binaries) -> bool {
    let kubectl = Kubectl::new(&binaries.kubernetes("kubectl"), &site::kubeconfig());
    wait::until("the API server", LIMIT, &["kube-apiserver"], || ready(&kubectl)).is_ok()
}

/// Returns whether all components run.
pub(super) fn is_up() -> bool {
    site::path("ready").exists() && components::ALL.iter().all(|name| process::is_up(name))
}

pub(super) fn ensure_up() -> Result<()> {
    ensure!(is_up(), "the cluster is down; start it with `cargo xtask cluster up`");
    Ok(())
}

fn bring_up(binaries: &Binaries) -> Result<()> {
    let pause = images::pause()?;
    mount::make()?;
    certificate::make()?;
    kubeconfig::make()?;
    sysctl::set()?;
    network::make()?;
    containers::make_group()?;

    let start = |name| components::start(name, binaries);
    // The API server retries until etcd serves.
    start("etcd")?;
    start("kube-apiserver")?;
    start("containerd")?;
    wait::until("containerd", LIMIT, &["containerd"], || {
        containers::load_new(binaries, &pause)
    })?;

    let kubectl = Kubectl::new(&binaries.kubernetes("kubectl"), &site::kubeconfig());
    wait::until("the API server", LIMIT, &["etcd", "kube-apiserver"], || ready(&kubectl))?;
    let rest = [
        "kube-controller-manager",
        "kube-scheduler",
        "kubelet",
        "kube-proxy",
        "coredns",
    ];
    rest.iter().try_for_each(|name| start(name))?;
    allow_dns(&kubectl)?;
    wait_for_the_rest(&kubectl)?;
    site::write("ready", "").map(drop)
}

fn ready(kubectl: &Kubectl) -> Result<()> {
    kubectl.run(&["get", "--raw", "/readyz"]).map(drop)
}

fn allow_dns(kubectl: &Kubectl) -> Result<()> {
    let role = site::write("dns-role.yaml", include_str!("../../assets/cluster/dns-role.yaml"))?;
    let role = role.to_str().context("a path is not UTF-8")?;
    kubectl.run(&["create", "--filename", role]).map(drop)
}

fn wait_for_the_rest(kubectl: &Kubectl) -> Result<()> {
    wait::until("the node", LIMIT, &["kubelet", "containerd"], || {
        let ready = "jsonpath={.status.conditions[?(@.type==\"Ready\")].status}";
        let ready = kubectl.run(&["get", "node", NODE, "--output", ready])?;
        ensure!(ready == "True", "node {NODE:?} is not Ready");
        Ok(())
    })?;
    wait::until("service accounts", LIMIT, &["kube-controller-manager"], || {
        kubectl.run(&["get", "serviceaccount", "default"]).map(drop)
    })?;
    wait::until("Services", LIMIT, &["kube-proxy"], || {
        let address: SocketAddr = format!("{API_SERVICE}:443").parse()?;
        Ok(TcpStream::connect_timeout(&address, Duration::from_millis(300)).map(drop)?)
    })?;
    wait::until("DNS", LIMIT, &["coredns"], dns::check)?;
    wait::until("the scheduler", LIMIT, &["kube-scheduler"], || Ok(()))
}
