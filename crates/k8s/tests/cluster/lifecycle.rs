//! Install, reconcile, restart, sleep, removal.

use std::time::Duration;

use k8s_openapi::api::{
    apps::v1::Deployment,
    coordination::v1::Lease,
    core::v1::{Pod, Secret, Service},
    networking::v1::NetworkPolicy,
};
use kube::api::ListParams;
use portolan_core::Runtime;

use crate::{
    sandbox::{Sandbox, in_sandbox, ready, with_sandbox},
    servers,
    wait::{eventually, wait_for_status},
};

#[tokio::test(flavor = "multi_thread")]
async fn port_forward_reaches_http_server() {
    with_sandbox("reach", async |sandbox| {
        let runtime = sandbox.runtime();
        let name = ready(&runtime, &servers::http()).await;
        let url = servers::url(&runtime, &name, "/healthz").await;
        assert!(url.starts_with("http://127.0.0.1:"), "{url}");
        let http = servers::client();
        for _ in 0..20 {
            servers::get(&http, &url).await.expect("an answer");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn host_restart_changes_nothing() {
    with_sandbox("anew", async |sandbox| {
        let runtime = sandbox.runtime();
        let spec = servers::http();
        let name = ready(&runtime, &spec).await;
        let before = sandbox.pod_uids().await;
        drop(runtime);
        let writes = sandbox.calls.writes();
        let runtime = sandbox.runtime();
        assert_eq!(runtime.list().await.expect("a list"), [name], "found by its labels");
        runtime.ensure(&name, &spec).await.expect("ensure");
        wait_for_status(&runtime, &name, Duration::from_secs(5), |status| {
            *status == portolan_core::Status::Ready
        })
        .await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(sandbox.pod_uids().await, before, "the pod is the same");
        assert_eq!(sandbox.calls.writes(), writes, "{:?}", sandbox.calls.log());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn removal_leaves_nothing() {
    with_sandbox("removal", async |sandbox| {
        let runtime = sandbox.runtime();
        let name = ready(&runtime, &servers::http()).await;
        runtime.remove(&name).await.expect("remove");
        assert_eq!(runtime.list().await.expect("a list"), []);
        wait_until_empty(&sandbox).await;
    })
    .await;
}

/// Waits until no object of the runtime is left.
async fn wait_until_empty(sandbox: &Sandbox) {
    eventually("everything is deleted", Duration::from_secs(20), async || {
        let all = ListParams::default();
        let labelled = ListParams::default().labels("app.kubernetes.io/managed-by=portolan");
        let left = sandbox
            .api::<Deployment>()
            .list(&all)
            .await
            .expect("a list")
            .items
            .len()
            + sandbox.api::<Lease>().list(&all).await.expect("a list").items.len()
            + sandbox.api::<Pod>().list(&all).await.expect("a list").items.len()
            + sandbox.api::<Service>().list(&all).await.expect("a list").items.len()
            + sandbox
                .api::<NetworkPolicy>()
                .list(&all)
                .await
                .expect("a list")
                .items
                .len()
            + sandbox
                .api::<Secret>()
                .list(&labelled)
                .await
                .expect("a list")
                .items
                .len();
        (left == 0).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn move_between_environments() {
    with_sandbox("moves", async |sandbox| {
        in_sandbox("target", async |there| {
            let mut config = sandbox.config();
            config.environments.insert(
                "there".into(),
                portolan_k8s::Environment::in_namespace(&there.namespace),
            );
            let clients = portolan_k8s::KubeClients::from(sandbox.client.0.clone())
                .with_environment("there", there.client.0.clone());
            let runtime = portolan_k8s::KubeRuntime::new(clients, config, sandbox.credentials.clone());
            let mut spec = servers::http();
            let name = ready(&runtime, &spec).await;
            spec.kubernetes.environment = Some("there".into());
            runtime.ensure(&name, &spec).await.expect("ensure");
            wait_for_status(&runtime, &name, Duration::from_secs(60), |status| {
                *status == portolan_core::Status::Ready
            })
            .await;
            wait_until_empty(&sandbox).await;
            assert_eq!(runtime.list().await.expect("a list"), [name]);
            assert_eq!(there.pods().await.len(), 1);
            let url = servers::url(&runtime, &name, "/healthz").await;
            servers::get(&servers::client(), &url).await.expect("an answer");
        })
        .await;
    })
    .await;
}
