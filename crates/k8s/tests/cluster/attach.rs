//! A server that is attached to, and several replicas of the gateway: one owns it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use k8s_openapi::api::coordination::v1::Lease;
use kube::api::ListParams;
use portolan_core::{InstallName, Runtime, ServerSpec, Status, StdioCarrier};
use portolan_k8s::KubeRuntime;
use serde_json::{Value, json};

use crate::{
    sandbox::{Sandbox, ready, with_sandbox},
    servers,
    test_gateway::TestGateway,
    wait::wait_for_status,
};

const TIMEOUT: Duration = Duration::from_secs(60);

/// How long a Lease is valid without a renewal.
const LEASE: Duration = Duration::from_secs(15);

/// How often a waiting program checks the Lease.
const CHECK: Duration = Duration::from_secs(4);

fn server() -> ServerSpec {
    let mut server = servers::everything();
    server.kubernetes.stdio = Some(StdioCarrier::Attach);
    server
}

async fn echo(gateway: &TestGateway, text: &str) -> Result<String, Value> {
    gateway.text("everything__echo", json!({ "message": text })).await
}

/// Returns the holder of the Lease of the only server.
async fn holder(sandbox: &Sandbox) -> Option<String> {
    let leases = sandbox
        .api::<Lease>()
        .list(&ListParams::default())
        .await
        .expect("a list");
    leases.items.first()?.spec.as_ref()?.holder_identity.clone()
}

/// Starts a further replica of the gateway.
async fn replica(sandbox: &Sandbox, install: &InstallName) -> TestGateway {
    let runtime = Arc::new(sandbox.runtime());
    join(&runtime, install).await;
    TestGateway::new(Some(runtime), &server(), *install).await
}

async fn join(runtime: &KubeRuntime, install: &InstallName) {
    runtime.ensure(install, &servers::run(&server())).await.expect("ensure");
    wait_for_status(runtime, install, TIMEOUT, |status| *status == Status::Ready).await;
}

/// Calls until one call succeeds, and returns how long that took. Failures meanwhile are typed and retryable.
async fn called(gateway: &TestGateway) -> Duration {
    let began = Instant::now();
    // No `eventually`: its future is not `Send` here, and one test spawns this.
    while let Err(answer) = echo(gateway, "hello").await {
        typed(&answer);
        assert!(began.elapsed() < TIMEOUT, "no call succeeds: {answer}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    began.elapsed()
}

fn typed(answer: &Value) -> &Value {
    let failure = &answer["result"]["_meta"]["dev.portolan/failure"];
    assert!(failure["cause"].is_string() && failure["retryable"] == true, "{answer}");
    failure
}

#[tokio::test(flavor = "multi_thread")]
async fn released_lease_is_taken_over() {
    with_sandbox("owner", async |sandbox| {
        let runtime = Arc::new(sandbox.runtime());
        let install = ready(&runtime, &servers::run(&server())).await;
        let owner = TestGateway::new(Some(runtime), &server(), install).await;
        called(&owner).await;
        let held_by = holder(&sandbox).await.expect("a holder");
        let other = replica(&sandbox, &install).await;
        for n in 0..20 {
            let text = format!("call {n}");
            assert_eq!(echo(&owner, &text).await, Ok(format!("Echo: {text}")));
            let answer = echo(&other, &text).await.expect_err("the other one is attached");
            let failure = typed(&answer);
            assert_eq!(failure["cause"], "connection", "{answer}");
            assert!(answer.to_string().contains(&held_by), "it names {held_by}: {answer}");
        }
        // Longer than a Lease lasts without a sign: it is kept.
        tokio::time::sleep(LEASE + CHECK).await;
        assert_eq!(echo(&owner, "still").await.as_deref(), Ok("Echo: still"));
        assert!(echo(&other, "still").await.is_err());
        drop(owner);
        let took = called(&other).await;
        println!("taken over {took:.1?} after the owner let go");
        assert!(took < LEASE, "{took:?}");
        assert_ne!(holder(&sandbox).await.expect("a holder"), held_by);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn expired_lease_is_taken_over() {
    with_sandbox("dead", async |sandbox| {
        // It ends with the threads that it runs on, and gives nothing back.
        let process = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let install = crate::sandbox::name();
        let began = process.spawn({
            let sandbox = sandbox.clone();
            async move {
                let runtime = Arc::new(sandbox.separate_runtime());
                join(&runtime, &install).await;
                let owner = TestGateway::new(Some(runtime.clone()), &server(), install).await;
                called(&owner).await;
                (runtime, owner)
            }
        });
        let owner = began.await.expect("it is called");
        let held_by = holder(&sandbox).await.expect("a holder");
        let other = replica(&sandbox, &install).await;
        assert!(echo(&other, "hello").await.is_err(), "the other one is attached");
        process.shutdown_background();
        assert_eq!(holder(&sandbox).await.as_ref(), Some(&held_by), "it was not given back");
        let took = called(&other).await;
        println!("taken over {took:.1?} after the owner died");
        assert!(took < LEASE + 2 * CHECK, "{took:?}");
        assert_ne!(holder(&sandbox).await.expect("a holder"), held_by);
        drop(owner);
    })
    .await;
}
