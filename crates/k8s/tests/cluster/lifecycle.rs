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
    servers,
    test_namespace::{Room, in_room, ready, until, with_room},
};

#[tokio::test(flavor = "multi_thread")]
async fn an_http_server_is_reached_from_outside_by_port_forward() {
    with_room("reach", async |room| {
        let runtime = room.runtime();
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
async fn a_host_that_starts_anew_touches_nothing() {
    with_room("anew", async |room| {
        let runtime = room.runtime();
        let spec = servers::http();
        let name = ready(&runtime, &spec).await;
        let before = room.pod_uids().await;
        drop(runtime);
        let writes = room.calls.writes();
        let runtime = room.runtime();
        assert_eq!(runtime.list().await.expect("a list"), [name], "found by its labels");
        runtime.ensure(&name, &spec).await.expect("ensure");
        until(&runtime, &name, Duration::from_secs(5), |status| {
            *status == portolan_core::Status::Ready
        })
        .await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(room.pod_uids().await, before, "the pod is the same");
        assert_eq!(room.calls.writes(), writes, "{:?}", room.calls.log());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn removal_leaves_nothing_behind() {
    with_room("removal", async |room| {
        let runtime = room.runtime();
        let name = ready(&runtime, &servers::http()).await;
        runtime.remove(&name).await.expect("remove");
        assert_eq!(runtime.list().await.expect("a list"), []);
        tokio::time::timeout(Duration::from_secs(20), gone(&room))
            .await
            .expect("everything goes");
    })
    .await;
}

async fn gone(room: &Room) {
    loop {
        let all = ListParams::default();
        let labelled = ListParams::default().labels("app.kubernetes.io/managed-by=portolan");
        let left = room.api::<Deployment>().list(&all).await.expect("a list").items.len()
            + room.api::<Lease>().list(&all).await.expect("a list").items.len()
            + room.api::<Pod>().list(&all).await.expect("a list").items.len()
            + room.api::<Service>().list(&all).await.expect("a list").items.len()
            + room
                .api::<NetworkPolicy>()
                .list(&all)
                .await
                .expect("a list")
                .items
                .len()
            + room.api::<Secret>().list(&labelled).await.expect("a list").items.len();
        if left == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_moves_to_another_environment_leaves_nothing_in_the_old_one() {
    with_room("moves", async |room| {
        in_room("target", async |there| {
            let mut config = room.config();
            config.environments.insert(
                "there".into(),
                portolan_k8s::Environment::in_namespace(&there.namespace),
            );
            let clients =
                portolan_k8s::KubeClients::from(room.client.0.clone()).environment("there", there.client.0.clone());
            let runtime = portolan_k8s::KubeRuntime::new(clients, config, room.credentials.clone());
            let mut spec = servers::http();
            let name = ready(&runtime, &spec).await;
            spec.kubernetes.environment = Some("there".into());
            runtime.ensure(&name, &spec).await.expect("ensure");
            until(&runtime, &name, Duration::from_secs(60), |status| {
                *status == portolan_core::Status::Ready
            })
            .await;
            tokio::time::timeout(Duration::from_secs(20), gone(&room))
                .await
                .expect("everything goes");
            assert_eq!(runtime.list().await.expect("a list"), [name]);
            assert_eq!(there.pods().await.len(), 1);
            let url = servers::url(&runtime, &name, "/healthz").await;
            servers::get(&servers::client(), &url).await.expect("an answer");
        })
        .await;
    })
    .await;
}
