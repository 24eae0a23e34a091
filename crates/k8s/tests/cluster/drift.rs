//! Changes of others to our objects, and objects of others.

use std::time::Duration;

use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{Secret, Service},
    networking::v1::NetworkPolicy,
};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use portolan_core::{
    CredentialKey, CredentialStore, EnvValue, FailureKind, InstallName, Precondition, Runtime, Status,
};
use portolan_k8s::{KubeRuntime, name::DeploymentKey};
use serde_json::{Value as Json, json};

use crate::{
    sandbox::{Sandbox, name, ready, with_sandbox},
    servers,
    wait::{eventually, wait_for_status},
};

const TIMEOUT: Duration = Duration::from_secs(15);

fn deployment_name(runtime: &KubeRuntime, name: &InstallName) -> String {
    let full = runtime.deployment(name).expect("it runs");
    full.split_once('/').expect("namespace/name").1.to_owned()
}

async fn patch(sandbox: &Sandbox, name: &str, change: Json) {
    let api = sandbox.api::<Deployment>();
    api.patch(name, &PatchParams::default(), &Patch::Strategic(change))
        .await
        .expect("patched");
}

#[tokio::test(flavor = "multi_thread")]
async fn foreign_changes_are_repaired() {
    with_sandbox("drift", async |sandbox| {
        let key = CredentialKey::parse("install/a/token").expect("a key");
        sandbox.credentials.put(&key, "a-secret".into(), Precondition::None).await.expect("put");
        let mut spec = servers::http();
        spec.env.insert("TOKEN".into(), EnvValue::Secret(key));
        let runtime = sandbox.runtime();
        let name = ready(&runtime, &spec).await;
        let deployment = deployment_name(&runtime, &name);

        let image = json!({ "spec": { "template": { "spec": { "containers": [{ "name": "mcp-server", "image": servers::BUSYBOX }] } } } });
        patch(&sandbox, &deployment, image).await;
        let api = sandbox.api::<Deployment>();
        eventually("the image is repaired", TIMEOUT, async || {
            let live = serde_json::to_value(api.get(&deployment).await.expect("it is there")).expect("JSON");
            (live["spec"]["template"]["spec"]["containers"][0]["image"] == servers::HTTP_IMAGE).then_some(())
        })
        .await;

        let gone = DeleteParams::background();
        sandbox.api::<Service>().delete(&deployment, &gone).await.expect("deleted");
        sandbox.api::<Secret>().delete(&format!("{deployment}-secrets"), &gone).await.expect("deleted");
        sandbox.api::<NetworkPolicy>().delete(&format!("mcp-net-{deployment}"), &gone).await.expect("deleted");
        eventually("the dependents are back", TIMEOUT, async || {
            let all = sandbox.api::<Service>().get_opt(&deployment).await.expect("an answer").is_some()
                && sandbox.api::<Secret>().get_opt(&format!("{deployment}-secrets")).await.expect("an answer").is_some()
                && sandbox.api::<NetworkPolicy>().get_opt(&format!("mcp-net-{deployment}")).await.expect("an answer").is_some();
            all.then_some(())
        })
        .await;

        api.delete(&deployment, &gone).await.expect("deleted");
        eventually("the deployment is back", TIMEOUT, async || api.get_opt(&deployment).await.expect("an answer")).await;
        wait_for_status(&runtime, &name, Duration::from_secs(30), |status| *status == Status::Ready).await;

        let writes = sandbox.calls.writes();
        tokio::time::sleep(Duration::from_secs(3)).await;
        assert_eq!(sandbox.calls.writes(), writes, "it comes to rest: {:?}", sandbox.calls.log().split_off(writes));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn additions_and_scaling_are_kept() {
    with_sandbox("scaled", async |sandbox| {
        let runtime = sandbox.runtime();
        let name = ready(&runtime, &servers::http()).await;
        let deployment = deployment_name(&runtime, &name);
        let writes = sandbox.calls.writes();
        patch(
            &sandbox,
            &deployment,
            json!({ "metadata": { "annotations": { "theirs": "1" } }, "spec": { "replicas": 2 } }),
        )
        .await;
        eventually("two pods", TIMEOUT, async || {
            (sandbox.pods().await.len() == 2).then_some(())
        })
        .await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(
            sandbox.calls.writes(),
            writes,
            "{:?}",
            sandbox.calls.log().split_off(writes)
        );
        let live = sandbox.api::<Deployment>().get(&deployment).await.expect("it is there");
        assert_eq!(
            live.metadata
                .annotations
                .expect("annotations")
                .get("theirs")
                .map(String::as_str),
            Some("1")
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn foreign_object_is_never_touched() {
    with_sandbox("stranger", async |sandbox| {
        let (runtime, name, spec) = (sandbox.runtime(), name(), servers::http());
        let taken = DeploymentKey::Install(name).deployment_name(&spec.server);
        let service: Service = serde_json::from_value(json!({
            "metadata": { "name": taken }, "spec": { "ports": [{ "port": 1 }], "selector": { "app": "theirs" } },
        }))
        .expect("a service");
        let services = sandbox.api::<Service>();
        let before = services
            .create(&PostParams::default(), &service)
            .await
            .expect("created");
        runtime.ensure(&name, &spec).await.expect("ensure");
        let status = wait_for_status(&runtime, &name, TIMEOUT, |status| {
            matches!(status, Status::Failed { .. })
        })
        .await;
        let Status::Failed { failure } = status else {
            unreachable!("it is what was waited for")
        };
        assert_eq!(failure.kind, FailureKind::Config);
        let named = format!(
            "the service {}/{taken} exists already and belongs to someone else",
            sandbox.namespace
        );
        assert_eq!(failure.message, named);
        runtime.remove(&name).await.expect("remove");
        let after = services.get(&taken).await.expect("it is still there");
        assert_eq!(after.metadata.resource_version, before.metadata.resource_version);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn removal_by_peer_is_followed() {
    with_sandbox("replicas", async |sandbox| {
        let (one, two) = (sandbox.runtime(), sandbox.runtime());
        let spec = servers::http();
        let name = ready(&one, &spec).await;
        two.ensure(&name, &spec).await.expect("ensure");
        wait_for_status(&two, &name, TIMEOUT, |status| *status == Status::Ready).await;
        one.remove(&name).await.expect("remove");
        eventually("the other replica follows", TIMEOUT, async || {
            two.list().await.expect("a list").is_empty().then_some(())
        })
        .await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        let left = sandbox
            .api::<Deployment>()
            .list(&ListParams::default())
            .await
            .expect("a list")
            .items;
        assert!(left.is_empty(), "it was made anew");
    })
    .await;
}
