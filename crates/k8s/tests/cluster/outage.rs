//! An outage of the API server for half a minute.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use k8s_openapi::api::core::v1::Service;
use portolan_core::{Runtime, Status};
use portolan_k8s::EndpointMode;

use crate::{
    sandbox::{exclusive, kubeconfig, name, ready},
    servers,
    wait::{eventually, wait_for_status},
};

const AWAY: Duration = Duration::from_secs(30);

/// The process of the API server of `cargo xtask cluster`. On another cluster, skip this module.
fn api_server() -> String {
    let kubeconfig = kubeconfig();
    let folder = kubeconfig.parent().expect("it is a file");
    match std::fs::read_to_string(folder.join("run/kube-apiserver.pid")) {
        Ok(pid) => pid.trim().to_owned(),
        Err(error) => panic!(
            "the API server cannot be stopped from here, for its pid is not known ({error}): skip `outage::` on a cluster \
             that `cargo xtask cluster` did not start"
        ),
    }
}

/// Suspends a process until it is dropped.
struct Suspended(String);

impl Suspended {
    fn new(pid: &str) -> Self {
        signal("-STOP", pid);
        Self(pid.to_owned())
    }
}

impl Drop for Suspended {
    fn drop(&mut self) {
        signal("-CONT", &self.0);
    }
}

fn signal(signal: &str, pid: &str) {
    let done = Command::new("kill")
        .args([signal, pid])
        .status()
        .expect("kill is there");
    assert!(done.success(), "kill {signal} {pid}");
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_continue_and_installs_resume() {
    let pid = api_server();
    exclusive("outage", async |sandbox| {
        let mut config = sandbox.config();
        config.endpoint_mode = EndpointMode::Cluster;
        let runtime = sandbox.runtime_with(config);
        let spec = servers::http();
        let running = ready(&runtime, &spec).await;
        let full = runtime.deployment(&running).expect("it runs");
        let service = sandbox
            .api::<Service>()
            .get(full.rsplit('/').next().expect("a name"))
            .await
            .expect("a service");
        let address = service.spec.and_then(|spec| spec.cluster_ip).expect("an address");
        let late = name();
        let http = servers::client();
        // The node learns of a new Service a moment after its pod is ready.
        let url = format!("http://{address}:8080/healthz");
        eventually("the service answers", Duration::from_secs(30), async || {
            servers::get(&http, &url).await.ok()
        })
        .await;

        let stopped = Suspended::new(&pid);
        let away = Instant::now();
        let mut calls = 0;
        let asked = Instant::now();
        runtime.ensure(&late, &spec).await.expect("the wish is recorded");
        assert!(
            asked.elapsed() < Duration::from_secs(1),
            "ensure does not wait for the cluster"
        );
        while away.elapsed() < AWAY {
            let url = servers::url(&runtime, &running, "/healthz").await;
            assert!(url.contains(".svc.cluster.local:8080"), "{url}");
            // This machine has no name server of the cluster.
            let response = servers::get(&http, &format!("http://{address}:8080/healthz")).await;
            response.expect("an answer");
            calls += 1;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let mut events = runtime.watch();
        let now = futures_util::StreamExt::next(&mut events).await.expect("a status");
        assert!(now.install != running || now.status == Status::Ready, "{now}");
        drop(stopped);

        let back = Instant::now();
        wait_for_status(&runtime, &late, Duration::from_secs(60), |status| {
            *status == Status::Ready
        })
        .await;
        println!(
            "{calls} calls while it was away; what waited was ready {:.1} s after",
            back.elapsed().as_secs_f64()
        );
    })
    .await;
}
