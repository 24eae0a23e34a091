//! Interrupted and forced hard resets.

use std::time::{Duration, Instant};

use k8s_openapi::api::apps::v1::Deployment;
use portolan_core::{Restart, RunSpec, Runtime, RuntimeRestart, Status};
use portolan_k8s::KubeRuntime;

use crate::{
    sandbox::{Sandbox, ready, with_sandbox},
    servers,
    wait::{eventually, wait_for_status},
};

const TIMEOUT: Duration = Duration::from_secs(60);

/// A server that ignores SIGTERM and is killed after `grace_seconds`.
fn stubborn(grace_seconds: u32) -> RunSpec {
    let mut spec = servers::script("trap '' TERM; httpd -f -p 8080 -h /tmp");
    spec.kubernetes.grace_seconds = Some(grace_seconds);
    spec
}

/// Returns the uid of `deployment` (`namespace/name`), and whether it is being deleted.
async fn look(sandbox: &Sandbox, deployment: &str) -> Option<(String, bool)> {
    let name = deployment.rsplit('/').next().expect("a name");
    let found = sandbox.api::<Deployment>().get_opt(name).await.expect("an answer")?;
    Some((found.metadata.uid?, found.metadata.deletion_timestamp.is_some()))
}

async fn reset(runtime: &KubeRuntime, install: &portolan_core::InstallName) {
    RuntimeRestart::restart(runtime, install, Restart::Reset)
        .await
        .expect("a reset");
}

#[tokio::test(flavor = "multi_thread")]
async fn interrupted_reset_is_finished() {
    with_sandbox("resumed", async |sandbox| {
        let spec = stubborn(8);
        let runtime = sandbox.runtime();
        let install = ready(&runtime, &spec).await;
        let deployment = runtime.deployment(&install).expect("it runs");
        let (before, pods) = (
            look(&sandbox, &deployment).await.expect("it is there").0,
            sandbox.pod_uids().await,
        );
        reset(&runtime, &install).await;
        eventually("the deletion has begun", TIMEOUT, async || {
            let found = look(&sandbox, &deployment).await;
            found.filter(|(uid, is_going)| *uid == before && *is_going)
        })
        .await;
        drop(runtime);
        assert!(
            look(&sandbox, &deployment).await.is_some(),
            "it is interrupted in the middle"
        );

        let runtime = sandbox.runtime();
        runtime.ensure(&install, &spec).await.expect("ensure");
        let began = Instant::now();
        wait_for_status(&runtime, &install, TIMEOUT, |status| *status == Status::Ready).await;
        println!("finished {:.1?} after the next runtime began", began.elapsed());
        let (after, is_going) = look(&sandbox, &deployment)
            .await
            .expect("it is there, under the same name");
        assert!(after != before && !is_going, "it was made anew");
        assert!(sandbox.pod_uids().await.iter().all(|uid| !pods.contains(uid)));
    })
    .await;
}

/// The runtime ended after it set the annotation and before it deleted anything.
#[tokio::test(flavor = "multi_thread")]
async fn announced_reset_is_done() {
    with_sandbox("announced", async |sandbox| {
        let spec = servers::http();
        let runtime = sandbox.runtime();
        let install = ready(&runtime, &spec).await;
        let deployment = runtime.deployment(&install).expect("it runs");
        let (before, _) = look(&sandbox, &deployment).await.expect("it is there");
        drop(runtime);
        let mark =
            serde_json::json!({ "metadata": { "annotations": { "portolan.dev/reset": "2026-01-01T00:00:00Z" } } });
        let name = deployment.rsplit('/').next().expect("a name");
        sandbox
            .api::<Deployment>()
            .patch(name, &Default::default(), &kube::api::Patch::Merge(mark))
            .await
            .expect("marked");

        let runtime = sandbox.runtime();
        runtime.ensure(&install, &spec).await.expect("ensure");
        eventually("it is created again", TIMEOUT, async || {
            let found = look(&sandbox, &deployment).await;
            found.filter(|(uid, _)| *uid != before)
        })
        .await;
        wait_for_status(&runtime, &install, TIMEOUT, |status| *status == Status::Ready).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stubborn_pod_is_deleted_by_force() {
    with_sandbox("forced", async |sandbox| {
        let runtime = sandbox.runtime();
        let install = ready(&runtime, &stubborn(600)).await;
        let deployment = runtime.deployment(&install).expect("it runs");
        let (before, pods) = (
            look(&sandbox, &deployment).await.expect("it is there").0,
            sandbox.pod_uids().await,
        );
        reset(&runtime, &install).await;
        let began = Instant::now();
        wait_for_status(&runtime, &install, 2 * TIMEOUT, |status| *status == Status::Ready).await;
        let took = began.elapsed();
        println!("ready {took:.1?} after the reset, with a grace period of 600 s");
        assert!(took > Duration::from_secs(30), "it was given time to end by itself");
        assert_ne!(look(&sandbox, &deployment).await.expect("it is there").0, before);
        let all = sandbox.api::<k8s_openapi::api::core::v1::Pod>();
        let left = all.list(&Default::default()).await.expect("pods").items;
        assert!(
            left.iter()
                .all(|pod| !pods.contains(pod.metadata.uid.as_ref().expect("a uid"))),
            "the old pod has gone, not only begun to"
        );
    })
    .await;
}
