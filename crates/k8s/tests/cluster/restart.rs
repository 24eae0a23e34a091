//! Restarts, under load and by force.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use kube::api::DeleteParams;
use portolan_core::{Error, Restart, Runtime, RuntimeRestart, Status};

use crate::{
    sandbox::{name, ready, with_sandbox},
    servers,
    wait::wait_for_status,
};

const TIMEOUT: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn rolling_restart_fails_no_call() {
    with_sandbox("roll", async |sandbox| {
        let runtime = Arc::new(sandbox.runtime());
        let name = ready(&runtime, &servers::http()).await;
        let before = sandbox.pod_uids().await;
        let url = servers::url(&runtime, &name, "/healthz").await;
        let stop = Arc::new(AtomicBool::new(false));
        let load = tokio::spawn({
            let (stop, runtime) = (stop.clone(), runtime.clone());
            async move {
                let http = servers::client();
                let mut calls = Vec::new();
                let mut tick = tokio::time::interval(Duration::from_millis(20));
                while !stop.load(Ordering::SeqCst) {
                    tick.tick().await;
                    // As the gateway does: the endpoint is asked on every call.
                    runtime.endpoint(&name).await.expect("an endpoint, all the time");
                    let (http, url) = (http.clone(), url.clone());
                    calls.push(tokio::spawn(async move { servers::get(&http, &url).await }));
                }
                let mut failed = Vec::new();
                let made = calls.len();
                for call in calls {
                    failed.extend(call.await.expect("no panic").err());
                }
                (made, failed)
            }
        });
        tokio::time::sleep(Duration::from_secs(1)).await;
        for kind in [Restart::Graceful, Restart::Graceful] {
            RuntimeRestart::restart(&*runtime, &name, kind).await.expect("restart");
            tokio::time::sleep(Duration::from_secs(8)).await;
        }
        stop.store(true, Ordering::SeqCst);
        let (made, failed) = load.await.expect("no panic");
        println!("{made} calls over two restarts, {} failed", failed.len());
        assert!(
            failed.is_empty(),
            "{} of {made} failed: {:?}",
            failed.len(),
            &failed[..failed.len().min(5)]
        );
        assert!(made > 500, "{made} calls");
        assert_ne!(sandbox.pod_uids().await, before, "the pod was replaced");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deleted_pod_comes_back() {
    with_sandbox("deleted", async |sandbox| {
        let runtime = sandbox.runtime();
        let name = ready(&runtime, &servers::http()).await;
        let url = servers::url(&runtime, &name, "/healthz").await;
        let http = servers::client();
        servers::get(&http, &url).await.expect("an answer");
        let pod = sandbox.pods().await.remove(0).metadata.name.expect("a name");
        let now = DeleteParams::default().grace_period(0);
        sandbox
            .api::<k8s_openapi::api::core::v1::Pod>()
            .delete(&pod, &now)
            .await
            .expect("deleted");
        wait_for_status(&runtime, &name, TIMEOUT, |status| {
            matches!(status, Status::Restarting { .. })
        })
        .await;
        wait_for_status(&runtime, &name, TIMEOUT, |status| *status == Status::Ready).await;
        assert_eq!(
            servers::url(&runtime, &name, "/healthz").await,
            url,
            "the address stays"
        );
        servers::get(&http, &url).await.expect("an answer");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fresh_pull_and_reset() {
    with_sandbox("reset", async |sandbox| {
        let runtime = sandbox.runtime();
        let name = ready(&runtime, &servers::http()).await;
        let before = sandbox.pod_uids().await;
        let deployment = runtime.deployment(&name);
        RuntimeRestart::restart(&runtime, &name, Restart::Reset)
            .await
            .expect("reset");
        let rebuilt = runtime.endpoint(&name).await;
        assert!(rebuilt.is_err(), "it is being rebuilt: {rebuilt:?}");
        wait_for_status(&runtime, &name, TIMEOUT, |status| *status == Status::Ready).await;
        let after = sandbox.pod_uids().await;
        assert_ne!(after, before);
        assert_eq!(runtime.deployment(&name), deployment, "under the same name");

        // The images here are in no registry: pulled anew, they are not had. The old pod goes on answering.
        RuntimeRestart::restart(&runtime, &name, Restart::FreshPull)
            .await
            .expect("a fresh pull");
        let status = wait_for_status(&runtime, &name, TIMEOUT, |_| true).await;
        assert_eq!(status, Status::Ready, "the old pod is ready");
        assert!(runtime.endpoint(&name).await.is_ok());

        let unknown = RuntimeRestart::restart(&runtime, &self::name(), Restart::Graceful).await;
        assert!(matches!(unknown, Err(Error::NotFound { .. })), "{unknown:?}");
    })
    .await;
}
