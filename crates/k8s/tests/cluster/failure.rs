//! Failures are typed, and published within 30 seconds.

use std::time::{Duration, Instant};

use k8s_openapi::{
    api::core::v1::{Pod, ResourceQuota, ResourceQuotaSpec, Secret},
    apimachinery::pkg::api::resource::Quantity,
};
use kube::api::{DeleteParams, PostParams};
use portolan_core::{
    CredentialKey, CredentialStore, EnvFrom, EnvValue, Failure, FailureKind, Precondition, RunSpec, Runtime, Status,
};
use portolan_k8s::{KubeConfig, KubeRuntime};
use serde_json::json;

use crate::{
    sandbox::{Sandbox, name, with_sandbox},
    servers,
    wait::{eventually, wait_for_status},
};

const TIMEOUT: Duration = Duration::from_secs(30);

/// Ensures `spec` and returns its failure.
async fn failure(runtime: &KubeRuntime, spec: &RunSpec) -> Failure {
    let name = name();
    runtime.ensure(&name, spec).await.expect("ensure");
    let status = wait_for_status(runtime, &name, TIMEOUT, |status| {
        matches!(status, Status::Failed { .. })
    })
    .await;
    let Status::Failed { failure } = status else {
        unreachable!("it is what was waited for")
    };
    failure
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_image() {
    with_sandbox("image", async |sandbox| {
        let failure = failure(&sandbox.runtime(), &servers::image("docker.io/local/no-such-image:9")).await;
        assert_eq!(failure.kind, FailureKind::Image, "{failure:?}");
        assert!(
            failure
                .message
                .starts_with("image \"docker.io/local/no-such-image:9\" cannot be pulled ("),
            "{failure:?}"
        );
        let place = format!("deployment {}/mcp-server-", sandbox.namespace);
        assert!(
            failure.detail[0].starts_with(&place) && failure.detail[0].contains(", pod mcp-server-"),
            "{failure:?}"
        );
        assert!(failure.remedy.is_some());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn crash_loop_has_exit_code_and_log() {
    with_sandbox("crash", async |sandbox| {
        let key = CredentialKey::parse("install/crash/token").expect("a key");
        sandbox
            .credentials
            .put(&key, "hunter2-hunter2".into(), Precondition::None)
            .await
            .expect("put");
        let mut spec = servers::script("echo starting with $TOKEN; echo cannot bind; exit 3");
        spec.env.insert("TOKEN".into(), EnvValue::Secret(key));
        let failure = failure(&sandbox.runtime(), &spec).await;
        assert_eq!(failure.kind, FailureKind::CrashLoop, "{failure:?}");
        assert!(failure.message.contains("exited with code 3"), "{failure:?}");
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
async fn missing_program() {
    with_sandbox("start", async |sandbox| {
        let mut spec = servers::script("");
        let portolan_core::Source::Image { program, .. } = &mut spec.source else {
            unreachable!("it is an image")
        };
        *program = Some("/no-such-program".into());
        let failure = failure(&sandbox.runtime(), &spec).await;
        assert_eq!(failure.kind, FailureKind::Start, "{failure:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unschedulable_requests() {
    with_sandbox("much", async |sandbox| {
        let runtime = sandbox.runtime();
        let mut spec = servers::http();
        spec.kubernetes.requests.insert("cpu".into(), "100".into());
        let failure = failure(&runtime, &spec).await;
        assert_eq!(failure.kind, FailureKind::Unschedulable, "{failure:?}");
        assert!(failure.message.contains("Insufficient cpu"), "{failure:?}");
        assert!(failure.is_retryable());
    })
    .await;
}

/// A pod anti-affinity keeps it off all nodes until the other pod is deleted.
#[tokio::test(flavor = "multi_thread")]
async fn unschedulable_until_room() {
    with_sandbox("room", async |sandbox| {
        let runtime = sandbox.runtime();
        ready_hog(&sandbox).await;
        let mut spec = servers::http();
        spec.kubernetes.deployment_yaml = Some(KEPT_OUT.into());
        let name = name();
        runtime.ensure(&name, &spec).await.expect("ensure");
        let status = wait_for_status(&runtime, &name, TIMEOUT, |status| {
            matches!(status, Status::Failed { .. })
        })
        .await;
        assert!(
            matches!(&status, Status::Failed { failure } if failure.kind == FailureKind::Unschedulable),
            "{status:?}"
        );
        let writes = sandbox.calls.writes();
        let at_once = DeleteParams::default().grace_period(0);
        sandbox.api::<Pod>().delete("hog", &at_once).await.expect("deleted");
        let began = Instant::now();
        wait_for_status(&runtime, &name, TIMEOUT, |status| *status == Status::Ready).await;
        println!("ready {:.1?} after there was room", began.elapsed());
        assert_eq!(sandbox.calls.writes(), writes, "by itself");
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

/// Starts the pod that the anti-affinity refers to.
async fn ready_hog(sandbox: &Sandbox) {
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
    let api = sandbox.api::<Pod>();
    api.create(&PostParams::default(), &hog).await.expect("created");
    eventually("the pod runs", TIMEOUT, async || {
        let status = api.get("hog").await.expect("it exists").status;
        status
            .and_then(|status| status.phase)
            .filter(|phase| phase == "Running")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_cluster_secret_recovers() {
    with_sandbox("secret", async |sandbox| {
        let mut config = sandbox.config();
        config.allowed_secrets.insert("theirs".into());
        let runtime = sandbox.runtime_with(config);
        let mut spec = servers::http();
        spec.kubernetes.env_from.push(EnvFrom::Secret {
            name: "theirs".into(),
            prefix: None,
        });
        let name = name();
        runtime.ensure(&name, &spec).await.expect("ensure");
        let status = wait_for_status(&runtime, &name, TIMEOUT, |status| matches!(status, Status::Failed { .. })).await;
        assert!(
            matches!(&status, Status::Failed { failure } if failure.kind == FailureKind::Config && failure.message.contains("\"theirs\" not found")),
            "{status:?}"
        );
        let mut secret = Secret::default();
        secret.metadata.name = Some("theirs".into());
        sandbox.api::<Secret>().create(&PostParams::default(), &secret).await.expect("a secret");
        wait_for_status(&runtime, &name, Duration::from_secs(90), |status| *status == Status::Ready).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_stored_secret_recovers() {
    with_sandbox("store", async |sandbox| {
        let key = CredentialKey::parse("install/a/token").expect("a key");
        let mut spec = servers::http();
        spec.env.insert("TOKEN".into(), EnvValue::Secret(key.clone()));
        let runtime = sandbox.runtime();
        let name = name();
        runtime.ensure(&name, &spec).await.expect("ensure");
        let status = wait_for_status(&runtime, &name, TIMEOUT, |status| {
            matches!(status, Status::Failed { .. })
        })
        .await;
        assert!(
            matches!(&status, Status::Failed { failure } if failure.kind == FailureKind::Config),
            "{status:?}"
        );
        sandbox
            .credentials
            .put(&key, "x-secret".into(), Precondition::None)
            .await
            .expect("put");
        wait_for_status(&runtime, &name, TIMEOUT, |status| *status == Status::Ready).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn exceeded_quota() {
    with_sandbox("quota", async |sandbox| {
        quota(&sandbox).await;
        let mut spec = servers::http();
        spec.kubernetes.requests.insert("cpu".into(), "50m".into());
        let failure = failure(&sandbox.runtime(), &spec).await;
        assert_eq!(failure.kind, FailureKind::Quota, "{failure:?}");
        assert!(failure.message.contains("small"), "{failure:?}");
    })
    .await;
}

async fn quota(sandbox: &Sandbox) {
    let mut quota = ResourceQuota {
        spec: Some(ResourceQuotaSpec {
            hard: Some([("requests.cpu".to_owned(), Quantity("10m".into()))].into()),
            ..ResourceQuotaSpec::default()
        }),
        ..ResourceQuota::default()
    };
    quota.metadata.name = Some("small".into());
    let api = sandbox.api::<ResourceQuota>();
    api.create(&PostParams::default(), &quota).await.expect("a quota");
    // The controller has to count once before the quota holds.
    eventually("the quota is counted", TIMEOUT, async || {
        let status = api.get("small").await.expect("it exists").status;
        status.and_then(|status| status.hard)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_permission_is_named() {
    with_sandbox("rule", async |sandbox| {
        let config = KubeConfig::in_namespace("default").with_deadline(Duration::from_secs(3));
        let runtime = sandbox.runtime_with(config);
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
