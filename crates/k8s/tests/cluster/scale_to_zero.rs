//! Scaling to zero, waking, and scaling by others.

use std::time::Duration;

use k8s_openapi::api::{apps::v1::Deployment, autoscaling::v2::HorizontalPodAutoscaler};
use kube::api::{Patch, PatchParams, PostParams};
use portolan_core::{Error, FailureKind, Runtime, RuntimeScale, Status};
use serde_json::json;

use crate::{
    sandbox::{ready, with_sandbox},
    servers,
    wait::{eventually, wait_for_status},
};

const TIMEOUT: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread")]
async fn idle_server_sleeps_and_wakes() {
    with_sandbox("idle", async |sandbox| {
        let mut config = sandbox.config();
        config.idle = Some(Duration::from_secs(6));
        let runtime = sandbox.runtime_with(config);
        let spec = servers::http();
        let name = ready(&runtime, &spec).await;
        for _ in 0..8 {
            runtime.endpoint(&name).await.expect("it is used");
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        assert_eq!(sandbox.pods().await.len(), 1, "used, it stays up");
        wait_for_status(&runtime, &name, TIMEOUT, |status| *status == Status::Asleep).await;
        assert_eq!(runtime.list().await.expect("a list"), [name], "it stays listed");
        let asleep = runtime.endpoint(&name).await.expect_err("nobody answers");
        assert!(
            matches!(&asleep, Error::NotReady { failure, .. } if failure.kind == FailureKind::Starting && asleep.is_retryable()),
            "{asleep:?}"
        );
        // Reconciling does not wake it.
        runtime.ensure(&name, &spec).await.expect("ensure");
        runtime.sleep(&name).await.expect("sleeping twice succeeds");
        eventually("the pods are gone", TIMEOUT, async || {
            sandbox.pods().await.is_empty().then_some(())
        })
        .await;

        runtime.wake(&name).await.expect("wake");
        wait_for_status(&runtime, &name, TIMEOUT, |status| *status == Status::Waking).await;
        wait_for_status(&runtime, &name, TIMEOUT, |status| *status == Status::Ready).await;
        runtime.wake(&name).await.expect("waking twice succeeds");
        let url = servers::url(&runtime, &name, "/healthz").await;
        servers::get(&servers::client(), &url).await.expect("an answer");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn manual_scale_up_is_kept() {
    with_sandbox("byhand", async |sandbox| {
        let mut config = sandbox.config();
        config.idle = Some(Duration::from_secs(3));
        let runtime = sandbox.runtime_with(config);
        let name = ready(&runtime, &servers::http()).await;
        wait_for_status(&runtime, &name, TIMEOUT, |status| *status == Status::Asleep).await;
        let full = runtime.deployment(&name).expect("it is there");
        let deployment = full.rsplit('/').next().expect("a name");
        let up = Patch::Merge(json!({ "spec": { "replicas": 1 } }));
        let api = sandbox.api::<Deployment>();
        api.patch(deployment, &PatchParams::default(), &up)
            .await
            .expect("scaled");
        wait_for_status(&runtime, &name, TIMEOUT, |status| *status == Status::Ready).await;
        tokio::time::sleep(Duration::from_secs(8)).await;
        assert_eq!(sandbox.pods().await.len(), 1, "it was sent to sleep again");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn autoscaled_server_never_sleeps() {
    with_sandbox("scaler", async |sandbox| {
        let runtime = sandbox.runtime();
        let name = ready(&runtime, &servers::http()).await;
        let full = runtime.deployment(&name).expect("it is there");
        let scaler: HorizontalPodAutoscaler = serde_json::from_value(json!({
            "metadata": { "name": "theirs" },
            "spec": {
                "minReplicas": 1, "maxReplicas": 2, "metrics": [],
                "scaleTargetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": full.rsplit('/').next() },
            },
        }))
        .expect("an autoscaler");
        sandbox
            .api::<HorizontalPodAutoscaler>()
            .create(&PostParams::default(), &scaler)
            .await
            .expect("created");
        let error = runtime.sleep(&name).await.expect_err("refused");
        assert!(
            format!("{error}").contains("the autoscaler \"theirs\" owns its replicas"),
            "{error}"
        );
        assert_eq!(sandbox.pods().await.len(), 1);
    })
    .await;
}
