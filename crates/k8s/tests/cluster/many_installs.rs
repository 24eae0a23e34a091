//! Many installs, and a host that restarts.

use std::time::Duration;

use k8s_openapi::{
    api::core::v1::{ResourceQuota, ResourceQuotaSpec},
    apimachinery::pkg::api::resource::Quantity,
};
use kube::api::PostParams;
use portolan_core::{Runtime, Status};

use crate::{
    sandbox::{Sandbox, name, with_sandbox},
    servers,
    wait::{eventually, wait_for_status},
};

const MANY: usize = 200;

/// The reads of the watches: six, each a list and a stream that is opened again now and then.
const WATCHES: usize = 6 * 4;

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_installs_need_few_calls() {
    with_sandbox("cold", async |sandbox| {
        // No node holds 200 pods: what is counted are calls, and none of them is about a pod.
        no_pods(&sandbox).await;
        let spec = servers::http();
        let mut names: Vec<_> = (0..MANY).map(|_| name()).collect();
        names.sort_unstable();
        let is_settled = |status: &Status| matches!(status, Status::Failed { .. });

        let runtime = sandbox.runtime();
        for name in &names {
            runtime.ensure(name, &spec).await.expect("ensure");
        }
        for name in &names {
            wait_for_status(&runtime, name, Duration::from_secs(120), is_settled).await;
        }
        let (writes, reads) = (sandbox.calls.writes(), sandbox.calls.reads());
        // A policy, a Service and a Deployment each, looked up and written once, and the baseline by whoever comes first.
        assert!(
            writes <= 3 * MANY + 8,
            "{writes} writes, more than once: {:?}",
            repeated(sandbox.calls.log())
        );
        assert!(reads <= 3 * MANY + 8 + WATCHES, "{reads} reads");
        drop(runtime);

        let runtime = sandbox.runtime();
        assert_eq!(runtime.list().await.expect("a list"), names);
        for name in &names {
            runtime.ensure(name, &spec).await.expect("ensure");
        }
        for name in &names {
            wait_for_status(&runtime, name, Duration::from_secs(30), is_settled).await;
        }
        assert_eq!(
            sandbox.calls.writes(),
            writes,
            "{:?}",
            sandbox.calls.log().split_off(writes)
        );
        let cold = sandbox.calls.reads() - reads;
        assert!(cold <= WATCHES, "{cold} reads");
        tokio::time::sleep(Duration::from_secs(5)).await;
        let later = sandbox.calls.reads() - reads;
        assert!(later <= WATCHES, "{later} reads: a hot loop");
        println!("{MANY} installs: {writes} writes and {reads} reads as new; 0 writes and {cold} reads from cold");
    })
    .await;
}

fn repeated(mut log: Vec<String>) -> Vec<(String, usize)> {
    log.sort_unstable();
    let chunks = log.chunk_by(|a, b| a == b);
    chunks
        .filter(|same| same.len() > 1)
        .map(|same| (same[0].clone(), same.len()))
        .take(10)
        .collect()
}

async fn no_pods(sandbox: &Sandbox) {
    let mut quota = ResourceQuota {
        spec: Some(ResourceQuotaSpec {
            hard: Some([("pods".to_owned(), Quantity("0".into()))].into()),
            ..ResourceQuotaSpec::default()
        }),
        ..ResourceQuota::default()
    };
    quota.metadata.name = Some("none".into());
    let api = sandbox.api::<ResourceQuota>();
    api.create(&PostParams::default(), &quota).await.expect("a quota");
    eventually("the quota is counted", Duration::from_secs(30), async || {
        let status = api.get("none").await.expect("it exists").status;
        status.and_then(|status| status.hard)
    })
    .await;
}
