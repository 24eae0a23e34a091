//! Sleep after idleness, waking, and others who scale.

use std::time::Duration;

use k8s_openapi::api::{apps::v1::Deployment, autoscaling::v2::HorizontalPodAutoscaler};
use kube::api::{Patch, PatchParams, PostParams};
use portolan_core::{Error, FailureKind, Runtime, RuntimeScale, Status};
use serde_json::json;

use crate::{
    servers,
    test_namespace::{ready, until, with_room},
};

const SOON: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread")]
async fn it_sleeps_when_nobody_calls_and_wakes_when_it_is_told() {
    with_room("idle", async |room| {
        let mut config = room.config();
        config.idle = Some(Duration::from_secs(6));
        let runtime = room.runtime_with(config);
        let spec = servers::http();
        let name = ready(&runtime, &spec).await;
        for _ in 0..8 {
            runtime.endpoint(&name).await.expect("it is used");
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        assert_eq!(room.pods().await.len(), 1, "used, it stays up");
        until(&runtime, &name, SOON, |status| *status == Status::Asleep).await;
        assert_eq!(runtime.list().await.expect("a list"), [name], "it stays listed");
        let asleep = runtime.endpoint(&name).await.expect_err("nobody answers");
        assert!(
            matches!(&asleep, Error::NotReady { failure, .. } if failure.kind == FailureKind::Starting && asleep.is_retryable()),
            "{asleep:?}"
        );
        // Reconciling does not wake it.
        runtime.ensure(&name, &spec).await.expect("ensure");
        runtime.sleep(&name).await.expect("sleeping twice succeeds");
        while !room.pods().await.is_empty() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }

        runtime.wake(&name).await.expect("wake");
        until(&runtime, &name, SOON, |status| *status == Status::Waking).await;
        until(&runtime, &name, SOON, |status| *status == Status::Ready).await;
        runtime.wake(&name).await.expect("waking twice succeeds");
        let url = servers::url(&runtime, &name, "/healthz").await;
        servers::get(&servers::client(), &url).await.expect("an answer");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_scaled_up_by_hand_is_awake_and_left_alone() {
    with_room("byhand", async |room| {
        let mut config = room.config();
        config.idle = Some(Duration::from_secs(3));
        let runtime = room.runtime_with(config);
        let name = ready(&runtime, &servers::http()).await;
        until(&runtime, &name, SOON, |status| *status == Status::Asleep).await;
        let full = runtime.deployment(&name).expect("it is there");
        let deployment = full.rsplit('/').next().expect("a name");
        let up = Patch::Merge(json!({ "spec": { "replicas": 1 } }));
        let api = room.api::<Deployment>();
        api.patch(deployment, &PatchParams::default(), &up)
            .await
            .expect("scaled");
        until(&runtime, &name, SOON, |status| *status == Status::Ready).await;
        tokio::time::sleep(Duration::from_secs(8)).await;
        assert_eq!(room.pods().await.len(), 1, "it was sent to sleep again");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_an_autoscaler_scales_is_never_sent_to_sleep() {
    with_room("scaler", async |room| {
        let runtime = room.runtime();
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
        room.api::<HorizontalPodAutoscaler>()
            .create(&PostParams::default(), &scaler)
            .await
            .expect("created");
        let error = runtime.sleep(&name).await.expect_err("refused");
        assert!(
            format!("{error}").contains("the autoscaler \"theirs\" owns its number of copies"),
            "{error}"
        );
        assert_eq!(room.pods().await.len(), 1);
    })
    .await;
}
