//! Runs the tests on a real Kubernetes node.

use anyhow::{Context, Result};

use crate::cluster::Cluster;
use crate::report::Outcome;
use crate::workspace::cargo;

/// Tests that stop the API server.
const OUTAGE: &str = "outage::";

pub(super) fn run(outcome: &mut Outcome) -> Result<()> {
    let cluster = Cluster::chosen()?;
    let lease = cluster.lease()?;
    let started = cluster.up().context("there is no cluster to test on")?;
    let loaded = cluster.load_all().context("the images could not be loaded");
    if loaded.is_ok() {
        let mut tests = cargo(&["test", "-p", "portolan-k8s", "--test", "cluster", "--no-fail-fast"]);
        if matches!(cluster, Cluster::Foreign(_)) {
            tests.args(["--", "--skip", OUTAGE]);
            outcome.note("not run: the API server of a cluster that is not ours cannot be stopped");
        }
        outcome.tests(
            tests
                .env("PORTOLAN_KUBECONFIG", cluster.kubeconfig())
                .env("RUST_BACKTRACE", "0"),
        );
    }
    drop(lease);
    if started && let Err(error) = cluster.down() {
        // A test run of another checkout may be using the cluster by now, and leaves it running.
        outcome.note(&format!("the cluster was left up: {error:#}"));
    }
    loaded
}
