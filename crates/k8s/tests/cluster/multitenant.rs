//! One deployment for all installs of a server.

use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use kube::api::ListParams;
use portolan_core::{Owner, Runtime, Status, UserId};

use crate::{
    servers,
    test_namespace::{name, ready, until, with_room},
};

#[tokio::test(flavor = "multi_thread")]
async fn installs_share_it_and_the_last_one_takes_it_away() {
    with_room("shared", async |room| {
        let mut spec = servers::http();
        spec.kubernetes.multitenant = true;
        let runtime = room.runtime();
        let one = ready(&runtime, &spec).await;
        let pods = room.pod_uids().await;
        let mut other = spec.clone();
        other.owner = Owner::Personal(UserId::parse("alice").expect("a user"));
        let two = name();
        runtime.ensure(&two, &other).await.expect("ensure");
        until(&runtime, &two, Duration::from_secs(20), |status| {
            *status == Status::Ready
        })
        .await;
        assert_eq!(room.pod_uids().await, pods, "the pod is the same");
        tokio::time::sleep(Duration::from_secs(1)).await;
        drop(runtime);

        // A host that starts anew still knows both.
        let runtime = room.runtime();
        let mut both = vec![one, two];
        both.sort_unstable();
        assert_eq!(runtime.list().await.expect("a list"), both);
        runtime.remove(&one).await.expect("remove");
        assert_eq!(runtime.list().await.expect("a list"), [two]);
        assert_eq!(room.pod_uids().await, pods, "the other one uses it");
        runtime.remove(&two).await.expect("remove");
        assert_eq!(runtime.list().await.expect("a list"), []);
        let left = room
            .api::<Deployment>()
            .list(&ListParams::default())
            .await
            .expect("a list");
        assert!(left.items.is_empty(), "the last one takes it away");
    })
    .await;
}
