//! What others do to our objects, and we to theirs: nothing.

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
    servers,
    test_namespace::{Room, name, ready, until, with_room},
};

const SOON: Duration = Duration::from_secs(15);

fn deployment_name(runtime: &KubeRuntime, name: &InstallName) -> String {
    let full = runtime.deployment(name).expect("it runs");
    full.split_once('/').expect("namespace/name").1.to_owned()
}

async fn patch(room: &Room, name: &str, change: Json) {
    let api = room.api::<Deployment>();
    api.patch(name, &PatchParams::default(), &Patch::Strategic(change))
        .await
        .expect("patched");
}

async fn eventually(what: &str, mut check: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !check().await {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    assert!(tokio::time::timeout(SOON, waiting).await.is_ok(), "{what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_change_or_delete_is_repaired() {
    with_room("drift", async |room| {
        let key = CredentialKey::parse("install/a/token").expect("a key");
        room.credentials.put(&key, "a-secret".into(), Precondition::None).await.expect("put");
        let mut spec = servers::http();
        spec.env.insert("TOKEN".into(), EnvValue::Secret(key));
        let runtime = room.runtime();
        let name = ready(&runtime, &spec).await;
        let deployment = deployment_name(&runtime, &name);

        let image = json!({ "spec": { "template": { "spec": { "containers": [{ "name": "mcp-server", "image": servers::BUSYBOX }] } } } });
        patch(&room, &deployment, image).await;
        let api = room.api::<Deployment>();
        eventually("the image is ours again", async || {
            let live = serde_json::to_value(api.get(&deployment).await.expect("it is there")).expect("JSON");
            live["spec"]["template"]["spec"]["containers"][0]["image"] == servers::HTTP_IMAGE
        })
        .await;

        let gone = DeleteParams::background();
        room.api::<Service>().delete(&deployment, &gone).await.expect("deleted");
        room.api::<Secret>().delete(&format!("{deployment}-secrets"), &gone).await.expect("deleted");
        room.api::<NetworkPolicy>().delete(&format!("mcp-net-{deployment}"), &gone).await.expect("deleted");
        eventually("the parts are back", async || {
            room.api::<Service>().get_opt(&deployment).await.expect("an answer").is_some()
                && room.api::<Secret>().get_opt(&format!("{deployment}-secrets")).await.expect("an answer").is_some()
                && room.api::<NetworkPolicy>().get_opt(&format!("mcp-net-{deployment}")).await.expect("an answer").is_some()
        })
        .await;

        api.delete(&deployment, &gone).await.expect("deleted");
        eventually("the deployment is back", async || api.get_opt(&deployment).await.expect("an answer").is_some()).await;
        until(&runtime, &name, Duration::from_secs(30), |status| *status == Status::Ready).await;

        let writes = room.calls.writes();
        tokio::time::sleep(Duration::from_secs(3)).await;
        assert_eq!(room.calls.writes(), writes, "it comes to rest: {:?}", room.calls.log().split_off(writes));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_add_and_how_they_scale_is_left_alone() {
    with_room("scaled", async |room| {
        let runtime = room.runtime();
        let name = ready(&runtime, &servers::http()).await;
        let deployment = deployment_name(&runtime, &name);
        let writes = room.calls.writes();
        patch(
            &room,
            &deployment,
            json!({ "metadata": { "annotations": { "theirs": "1" } }, "spec": { "replicas": 2 } }),
        )
        .await;
        eventually("two pods", async || room.pods().await.len() == 2).await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(room.calls.writes(), writes, "{:?}", room.calls.log().split_off(writes));
        let live = room.api::<Deployment>().get(&deployment).await.expect("it is there");
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
async fn a_strangers_object_is_never_touched() {
    with_room("stranger", async |room| {
        let (runtime, name, spec) = (room.runtime(), name(), servers::http());
        let taken = DeploymentKey::Install(name).deployment_name(&spec.server);
        let service: Service = serde_json::from_value(json!({
            "metadata": { "name": taken }, "spec": { "ports": [{ "port": 1 }], "selector": { "app": "theirs" } },
        }))
        .expect("a service");
        let services = room.api::<Service>();
        let before = services
            .create(&PostParams::default(), &service)
            .await
            .expect("created");
        runtime.ensure(&name, &spec).await.expect("ensure");
        let status = until(&runtime, &name, SOON, |status| matches!(status, Status::Failed { .. })).await;
        let Status::Failed { failure } = status else {
            unreachable!("it is what was waited for")
        };
        assert_eq!(failure.kind, FailureKind::Config);
        let named = format!(
            "the service {}/{taken} is there already, and is not ours",
            room.namespace
        );
        assert_eq!(failure.message, named);
        runtime.remove(&name).await.expect("remove");
        let after = services.get(&taken).await.expect("it is still there");
        assert_eq!(after.metadata.resource_version, before.metadata.resource_version);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_replica_of_the_host_removes_the_other_gives_up() {
    with_room("replicas", async |room| {
        let (one, two) = (room.runtime(), room.runtime());
        let spec = servers::http();
        let name = ready(&one, &spec).await;
        two.ensure(&name, &spec).await.expect("ensure");
        until(&two, &name, SOON, |status| *status == Status::Ready).await;
        one.remove(&name).await.expect("remove");
        eventually("the other has given it up", async || {
            two.list().await.expect("a list").is_empty()
        })
        .await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        let left = room
            .api::<Deployment>()
            .list(&ListParams::default())
            .await
            .expect("a list")
            .items;
        assert!(left.is_empty(), "it was made anew");
    })
    .await;
}
