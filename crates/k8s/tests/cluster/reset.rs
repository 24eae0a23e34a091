//! Hard resets that do not go smoothly.

use std::time::{Duration, Instant};

use k8s_openapi::api::apps::v1::Deployment;
use portolan_core::{Restart, RunSpec, Runtime, RuntimeRestart, Status};
use portolan_k8s::KubeRuntime;

use crate::{
    servers,
    test_namespace::{Room, ready, until, with_room},
};

const SOON: Duration = Duration::from_secs(60);

/// A server that does not end when it is told to, but by force after `grace_seconds`.
fn stubborn(grace_seconds: u32) -> RunSpec {
    let mut spec = servers::script("trap '' TERM; httpd -f -p 8080 -h /tmp");
    spec.kubernetes.grace_seconds = Some(grace_seconds);
    spec
}

/// The Deployment that `deployment` (`namespace/name`) is now, and whether it is on its way out.
async fn look(room: &Room, deployment: &str) -> Option<(String, bool)> {
    let name = deployment.rsplit('/').next().expect("a name");
    let found = room.api::<Deployment>().get_opt(name).await.expect("an answer")?;
    Some((found.metadata.uid?, found.metadata.deletion_timestamp.is_some()))
}

async fn reset(runtime: &KubeRuntime, install: &portolan_core::InstallName) {
    RuntimeRestart::restart(runtime, install, Restart::Reset)
        .await
        .expect("a reset");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_interrupted_is_finished_by_the_next_runtime() {
    with_room("resumed", async |room| {
        let spec = stubborn(8);
        let runtime = room.runtime();
        let install = ready(&runtime, &spec).await;
        let deployment = runtime.deployment(&install).expect("it runs");
        let (before, pods) = (
            look(&room, &deployment).await.expect("it is there").0,
            room.pod_uids().await,
        );
        reset(&runtime, &install).await;
        while !look(&room, &deployment)
            .await
            .is_some_and(|(uid, is_going)| uid == before && is_going)
        {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        drop(runtime);
        assert!(
            look(&room, &deployment).await.is_some(),
            "it is interrupted in the middle"
        );

        let runtime = room.runtime();
        runtime.ensure(&install, &spec).await.expect("ensure");
        let began = Instant::now();
        until(&runtime, &install, SOON, |status| *status == Status::Ready).await;
        println!("finished {:.1?} after the next runtime began", began.elapsed());
        let (after, is_going) = look(&room, &deployment)
            .await
            .expect("it is there, under the same name");
        assert!(after != before && !is_going, "it was made anew");
        assert!(room.pod_uids().await.iter().all(|uid| !pods.contains(uid)));
    })
    .await;
}

/// The mark on the Deployment is all that a runtime left that ended before it began to delete.
#[tokio::test(flavor = "multi_thread")]
async fn one_that_was_only_announced_is_done_by_the_next_runtime() {
    with_room("announced", async |room| {
        let spec = servers::http();
        let runtime = room.runtime();
        let install = ready(&runtime, &spec).await;
        let deployment = runtime.deployment(&install).expect("it runs");
        let (before, _) = look(&room, &deployment).await.expect("it is there");
        drop(runtime);
        let mark =
            serde_json::json!({ "metadata": { "annotations": { "portolan.dev/reset": "2026-01-01T00:00:00Z" } } });
        let name = deployment.rsplit('/').next().expect("a name");
        room.api::<Deployment>()
            .patch(name, &Default::default(), &kube::api::Patch::Merge(mark))
            .await
            .expect("marked");

        let runtime = room.runtime();
        runtime.ensure(&install, &spec).await.expect("ensure");
        let anew = async {
            while look(&room, &deployment).await.is_none_or(|(uid, _)| uid == before) {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        tokio::time::timeout(SOON, anew).await.expect("it is made anew");
        until(&runtime, &install, SOON, |status| *status == Status::Ready).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_does_not_end_is_deleted_by_force() {
    with_room("forced", async |room| {
        let runtime = room.runtime();
        let install = ready(&runtime, &stubborn(600)).await;
        let deployment = runtime.deployment(&install).expect("it runs");
        let (before, pods) = (
            look(&room, &deployment).await.expect("it is there").0,
            room.pod_uids().await,
        );
        reset(&runtime, &install).await;
        let began = Instant::now();
        until(&runtime, &install, 2 * SOON, |status| *status == Status::Ready).await;
        let took = began.elapsed();
        println!("ready {took:.1?} after the reset, with a grace period of 600 s");
        assert!(took > Duration::from_secs(30), "it was given time to end by itself");
        assert_ne!(look(&room, &deployment).await.expect("it is there").0, before);
        let all = room.api::<k8s_openapi::api::core::v1::Pod>();
        let left = all.list(&Default::default()).await.expect("pods").items;
        assert!(
            left.iter()
                .all(|pod| !pods.contains(pod.metadata.uid.as_ref().expect("a uid"))),
            "the old pod has gone, not only begun to"
        );
    })
    .await;
}
