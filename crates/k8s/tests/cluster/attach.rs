//! A server by attach, and several replicas of the gateway: one owns it.

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
    servers,
    test_gateway::Gate,
    test_namespace::{Room, ready, until, with_room},
};

const SOON: Duration = Duration::from_secs(60);

/// How long a Lease lasts without a sign of its holder.
const LASTS: Duration = Duration::from_secs(15);

/// How often one who waits for it looks.
const LOOKS: Duration = Duration::from_secs(4);

fn server() -> ServerSpec {
    let mut server = servers::everything();
    server.kubernetes.stdio = Some(StdioCarrier::Attach);
    server
}

async fn echo(gate: &Gate, text: &str) -> Result<String, Value> {
    gate.text("everything__echo", json!({ "message": text })).await
}

/// Who holds the Lease of the only server.
async fn holder(room: &Room) -> Option<String> {
    let leases = room.api::<Lease>().list(&ListParams::default()).await.expect("a list");
    leases.items.first()?.spec.as_ref()?.holder_identity.clone()
}

/// A further replica of the gateway.
async fn replica(room: &Room, install: &InstallName) -> Gate {
    let runtime = Arc::new(room.runtime());
    join(&runtime, install).await;
    Gate::of(Some(runtime), &server(), *install).await
}

async fn join(runtime: &KubeRuntime, install: &InstallName) {
    runtime.ensure(install, &servers::run(&server())).await.expect("ensure");
    until(runtime, install, SOON, |status| *status == Status::Ready).await;
}

/// Calls until one goes through, and gives how long that took. What fails meanwhile is typed and may be tried again.
async fn called(gate: &Gate) -> Duration {
    let began = Instant::now();
    while let Err(answer) = echo(gate, "hello").await {
        typed(&answer);
        assert!(began.elapsed() < SOON, "it is never called: {answer}");
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
async fn the_other_replica_names_the_owner_and_takes_over_when_that_lets_go() {
    with_room("owner", async |room| {
        let runtime = Arc::new(room.runtime());
        let install = ready(&runtime, &servers::run(&server())).await;
        let owner = Gate::of(Some(runtime), &server(), install).await;
        called(&owner).await;
        let held_by = holder(&room).await.expect("a holder");
        let other = replica(&room, &install).await;
        for n in 0..20 {
            let text = format!("call {n}");
            assert_eq!(echo(&owner, &text).await, Ok(format!("Echo: {text}")));
            let answer = echo(&other, &text).await.expect_err("the other one is attached");
            let failure = typed(&answer);
            assert_eq!(failure["cause"], "connection", "{answer}");
            assert!(answer.to_string().contains(&held_by), "it names {held_by}: {answer}");
        }
        // Longer than a Lease lasts without a sign: it is kept.
        tokio::time::sleep(LASTS + LOOKS).await;
        assert_eq!(echo(&owner, "still").await.as_deref(), Ok("Echo: still"));
        assert!(echo(&other, "still").await.is_err());
        drop(owner);
        let took = called(&other).await;
        println!("taken over {took:.1?} after the owner let go");
        assert!(took < LASTS, "{took:?}");
        assert_ne!(holder(&room).await.expect("a holder"), held_by);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_other_replica_takes_over_after_the_owner_died() {
    with_room("dead", async |room| {
        // It ends with the threads that it runs on, and gives nothing back.
        let process = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let install = crate::test_namespace::name();
        let began = process.spawn({
            let room = room.clone();
            async move {
                let runtime = Arc::new(room.runtime_of_its_own());
                join(&runtime, &install).await;
                let owner = Gate::of(Some(runtime.clone()), &server(), install).await;
                called(&owner).await;
                (runtime, owner)
            }
        });
        let owner = began.await.expect("it is called");
        let held_by = holder(&room).await.expect("a holder");
        let other = replica(&room, &install).await;
        assert!(echo(&other, "hello").await.is_err(), "the other one is attached");
        process.shutdown_background();
        assert_eq!(holder(&room).await.as_ref(), Some(&held_by), "it was not given back");
        let took = called(&other).await;
        println!("taken over {took:.1?} after the owner died");
        assert!(took < LASTS + 2 * LOOKS, "{took:?}");
        assert_ne!(holder(&room).await.expect("a holder"), held_by);
        drop(owner);
    })
    .await;
}
