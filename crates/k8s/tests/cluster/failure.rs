//! What goes wrong is told in types, within 30 seconds.

use std::time::{Duration, Instant};

use k8s_openapi::{
    api::core::v1::{Pod, ResourceQuota, ResourceQuotaSpec, Secret},
    apimachinery::pkg::api::resource::Quantity,
};
use kube::api::{DeleteParams, PostParams};
use portolan_core::{
    CredentialKey, CredentialStore, EnvFrom, Failure, FailureKind, Precondition, RunSpec, Runtime, Status, Value,
};
use portolan_k8s::{KubeConfig, KubeRuntime};
use serde_json::json;

use crate::{
    room::{Room, name, until, with_room},
    servers,
};

const SOON: Duration = Duration::from_secs(30);

/// The failure that `spec` comes to.
async fn failure(runtime: &KubeRuntime, spec: &RunSpec) -> Failure {
    let name = name();
    runtime.ensure(&name, spec).await.expect("ensure");
    let status = until(runtime, &name, SOON, |status| matches!(status, Status::Failed { .. })).await;
    let Status::Failed { failure } = status else {
        unreachable!("it is what was waited for")
    };
    failure
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_is_not_there() {
    with_room("image", async |room| {
        let failure = failure(&room.runtime(), &servers::image("docker.io/local/no-such-image:9")).await;
        assert_eq!(failure.kind, FailureKind::Image, "{failure:?}");
        assert!(
            failure
                .message
                .starts_with("image \"docker.io/local/no-such-image:9\" cannot be pulled ("),
            "{failure:?}"
        );
        let place = format!("deployment {}/mcp-server-", room.namespace);
        assert!(
            failure.detail[0].starts_with(&place) && failure.detail[0].contains(", pod mcp-server-"),
            "{failure:?}"
        );
        assert!(failure.remedy.is_some());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_loop_tells_the_exit_code_and_the_last_words_without_secrets() {
    with_room("crash", async |room| {
        let key = CredentialKey::parse("install/crash/token").expect("a key");
        room.credentials
            .put(&key, "hunter2-hunter2".into(), Precondition::None)
            .await
            .expect("put");
        let mut spec = servers::script("echo starting with $TOKEN; echo cannot bind; exit 3");
        spec.env.insert("TOKEN".into(), EnvValue::Secret(key));
        let failure = failure(&room.runtime(), &spec).await;
        assert_eq!(failure.kind, FailureKind::CrashLoop, "{failure:?}");
        assert!(failure.message.contains("exit code 3"), "{failure:?}");
        let words = failure.detail.join("\n");
        assert!(
            words.contains("starting with …") && words.contains("cannot bind"),
            "{words}"
        );
        assert!(!words.contains("hunter2"), "{words}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_is_not_in_the_image() {
    with_room("start", async |room| {
        let mut spec = servers::script("");
        let portolan_core::Source::Image { program, .. } = &mut spec.source else {
            unreachable!("it is an image")
        };
        *program = Some("/no-such-program".into());
        let failure = failure(&room.runtime(), &spec).await;
        assert_eq!(failure.kind, FailureKind::Start, "{failure:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_than_any_node_has() {
    with_room("much", async |room| {
        let runtime = room.runtime();
        let mut spec = servers::http();
        spec.kubernetes.requests.insert("cpu".into(), "100".into());
        let failure = failure(&runtime, &spec).await;
        assert_eq!(failure.kind, FailureKind::Unschedulable, "{failure:?}");
        assert!(failure.message.contains("Insufficient cpu"), "{failure:?}");
        assert!(failure.is_retryable());
    })
    .await;
}

/// Everywhere that it could run, another pod keeps it out.
#[tokio::test(flavor = "multi_thread")]
async fn no_node_has_room_until_one_does() {
    with_room("room", async |room| {
        let runtime = room.runtime();
        ready_hog(&room).await;
        let mut spec = servers::http();
        spec.kubernetes.deployment_yaml = Some(KEPT_OUT.into());
        let name = name();
        runtime.ensure(&name, &spec).await.expect("ensure");
        let status = until(&runtime, &name, SOON, |status| matches!(status, Status::Failed { .. })).await;
        assert!(
            matches!(&status, Status::Failed { failure } if failure.kind == FailureKind::Unschedulable),
            "{status:?}"
        );
        let writes = room.calls.writes();
        let at_once = DeleteParams::default().grace_period(0);
        room.api::<Pod>().delete("hog", &at_once).await.expect("deleted");
        let began = Instant::now();
        until(&runtime, &name, SOON, |status| *status == Status::Ready).await;
        println!("ready {:.1?} after there was room", began.elapsed());
        assert_eq!(room.calls.writes(), writes, "by itself");
    })
    .await;
}

const KEPT_OUT: &str = "
apiVersion: apps/v1
kind: Deployment
metadata: {}
spec:
  template:
    spec:
      affinity:
        podAntiAffinity:
          requiredDuringSchedulingIgnoredDuringExecution:
            - labelSelector: { matchLabels: { app: hog } }
              topologyKey: kubernetes.io/os
      containers: [{ name: mcp-server }]
";

/// A pod that others keep away from.
async fn ready_hog(room: &Room) {
    let hog: Pod = serde_json::from_value(json!({
        "metadata": { "name": "hog", "labels": { "app": "hog" } },
        "spec": {
            "securityContext": { "runAsNonRoot": true, "runAsUser": 65532, "seccompProfile": { "type": "RuntimeDefault" } },
            "containers": [{
                "name": "hog", "image": servers::PAUSE,
                "securityContext": { "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] } },
            }],
        },
    }))
    .expect("a pod");
    let api = room.api::<Pod>();
    api.create(&PostParams::default(), &hog).await.expect("created");
    let runs = async || {
        let status = api.get("hog").await.expect("it is there").status;
        status.and_then(|status| status.phase).as_deref() == Some("Running")
    };
    while !runs().await {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_is_missing_in_the_cluster_and_comes() {
    with_room("secret", async |room| {
        let mut config = room.config();
        config.allowed_secrets.insert("theirs".into());
        let runtime = room.runtime_with(config);
        let mut spec = servers::http();
        spec.kubernetes.env_from.push(EnvFrom::Secret {
            name: "theirs".into(),
            prefix: None,
        });
        let name = name();
        runtime.ensure(&name, &spec).await.expect("ensure");
        let status = until(&runtime, &name, SOON, |status| matches!(status, Status::Failed { .. })).await;
        assert!(
            matches!(&status, Status::Failed { failure } if failure.kind == FailureKind::Config && failure.message.contains("\"theirs\" not found")),
            "{status:?}"
        );
        let mut secret = Secret::default();
        secret.metadata.name = Some("theirs".into());
        room.api::<Secret>().create(&PostParams::default(), &secret).await.expect("a secret");
        until(&runtime, &name, Duration::from_secs(90), |status| *status == Status::Ready).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_is_missing_in_the_credential_store() {
    with_room("store", async |room| {
        let key = CredentialKey::parse("install/a/token").expect("a key");
        let mut spec = servers::http();
        spec.env.insert("TOKEN".into(), EnvValue::Secret(key.clone()));
        let runtime = room.runtime();
        let name = name();
        runtime.ensure(&name, &spec).await.expect("ensure");
        let status = until(&runtime, &name, SOON, |status| matches!(status, Status::Failed { .. })).await;
        assert!(
            matches!(&status, Status::Failed { failure } if failure.kind == FailureKind::Config),
            "{status:?}"
        );
        room.credentials
            .put(&key, "x-secret".into(), Precondition::None)
            .await
            .expect("put");
        until(&runtime, &name, SOON, |status| *status == Status::Ready).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quota_that_is_used_up() {
    with_room("quota", async |room| {
        quota(&room).await;
        let mut spec = servers::http();
        spec.kubernetes.requests.insert("cpu".into(), "50m".into());
        let failure = failure(&room.runtime(), &spec).await;
        assert_eq!(failure.kind, FailureKind::Quota, "{failure:?}");
        assert!(failure.message.contains("small"), "{failure:?}");
    })
    .await;
}

async fn quota(room: &Room) {
    let mut quota = ResourceQuota {
        spec: Some(ResourceQuotaSpec {
            hard: Some([("requests.cpu".to_owned(), Quantity("10m".into()))].into()),
            ..ResourceQuotaSpec::default()
        }),
        ..ResourceQuota::default()
    };
    quota.metadata.name = Some("small".into());
    let api = room.api::<ResourceQuota>();
    api.create(&PostParams::default(), &quota).await.expect("a quota");
    // The controller has to count once before the quota holds.
    while api
        .get("small")
        .await
        .expect("it is there")
        .status
        .and_then(|status| status.hard)
        .is_none()
    {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_without_the_rules_names_the_rule() {
    with_room("rule", async |room| {
        let config = KubeConfig {
            deadline: Duration::from_secs(3),
            ..KubeConfig::in_namespace("default")
        };
        let runtime = room.runtime_with(config);
        let error = runtime.list().await.expect_err("it may not");
        let text = error.report().to_string();
        assert!(
            text.contains("forbidden: the service account \"portolan\" may not \"list\" \"")
                && text.contains("\" in \"default\"; deploy/rbac.yaml has the rule"),
            "{text}"
        );
    })
    .await;
}
