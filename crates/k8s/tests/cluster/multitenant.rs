//! One deployment for all installs of a server.

use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use kube::api::ListParams;
use portolan_core::{InstallName, Owner, Runtime, Status, UserId};

use crate::{
    sandbox::{name, ready, with_sandbox},
    servers,
    wait::{eventually, wait_for_status},
};

#[tokio::test(flavor = "multi_thread")]
async fn last_install_removes_shared_deployment() {
    with_sandbox("shared", async |sandbox| {
        let mut spec = servers::http();
        spec.kubernetes.multitenant = true;
        let runtime = sandbox.runtime();
        let one = ready(&runtime, &spec).await;
        let pods = sandbox.pod_uids().await;
        let mut other = spec.clone();
        other.owner = Owner::Personal(UserId::parse("alice").expect("a user"));
        let two = name();
        runtime.ensure(&two, &other).await.expect("ensure");
        wait_for_status(&runtime, &two, Duration::from_secs(20), |status| {
            *status == Status::Ready
        })
        .await;
        assert_eq!(sandbox.pod_uids().await, pods, "the pod is the same");
        eventually("both installs are recorded", Duration::from_secs(20), async || {
            let all = ListParams::default();
            let found = sandbox.api::<Deployment>().list(&all).await.expect("a list").items;
            let annotations = found.first()?.metadata.annotations.clone()?;
            let is_recorded = |name: &InstallName| annotations.contains_key(&format!("install.portolan.dev/{name}"));
            (is_recorded(&one) && is_recorded(&two)).then_some(())
        })
        .await;
        drop(runtime);

        // A host that restarts still knows both.
        let runtime = sandbox.runtime();
        let mut both = vec![one, two];
        both.sort_unstable();
        assert_eq!(runtime.list().await.expect("a list"), both);
        runtime.remove(&one).await.expect("remove");
        assert_eq!(runtime.list().await.expect("a list"), [two]);
        assert_eq!(sandbox.pod_uids().await, pods, "the other one uses it");
        runtime.remove(&two).await.expect("remove");
        assert_eq!(runtime.list().await.expect("a list"), []);
        let left = sandbox
            .api::<Deployment>()
            .list(&ListParams::default())
            .await
            .expect("a list");
        assert!(left.items.is_empty(), "the last one takes it away");
    })
    .await;
}
