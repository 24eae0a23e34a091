//! Tool calls to servers in the cluster, through gateways.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use k8s_openapi::api::core::v1::Pod;
use kube::api::DeleteParams;
use portolan_core::{Runtime, RuntimeScale, ServerSpec, Status, StdioCarrier};
use serde_json::json;

use crate::{
    sandbox::{name, ready, with_sandbox},
    servers,
    test_gateway::TestGateway,
    wait::{eventually, wait_for_status},
};

const TIMEOUT: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn tool_calls_by_every_carrier() {
    with_sandbox("calls", async |sandbox| {
        let runtime = Arc::new(sandbox.runtime());
        let mut attached = servers::everything();
        attached.kubernetes.stdio = Some(StdioCarrier::Attach);
        for server in [servers::everything(), attached, servers::http_server()] {
            let began = Instant::now();
            let install = ready(&runtime, &servers::run(&server)).await;
            let up = began.elapsed();
            let gateway = TestGateway::new(Some(runtime.clone()), &server, install).await;
            let tool = format!("{}__echo", server.name);
            let echo = gateway
                .text(&tool, json!({ "message": "hello", "text": "hello" }))
                .await
                .expect("an answer");
            println!(
                "{}: ready after {up:?}, called after {:?}",
                server.name,
                began.elapsed()
            );
            assert!(echo.contains("hello"), "{echo}");
        }
        // The same server, known by its URL alone.
        let install = ready(&runtime, &servers::http()).await;
        let url = servers::url(&runtime, &install, "/mcp").await;
        let remote = ServerSpec::remote("remote", url).expect("a server");
        let gateway = TestGateway::new(None, &remote, name()).await;
        let echo = gateway
            .text("remote__echo", json!({ "text": "hello" }))
            .await
            .expect("an answer");
        assert!(echo.contains("hello"), "{echo}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_callers_two_gateways() {
    with_sandbox("many", async |sandbox| {
        let (one, two) = (Arc::new(sandbox.runtime()), Arc::new(sandbox.runtime()));
        let server = servers::everything();
        let spec = servers::run(&server);
        let install = ready(&one, &spec).await;
        two.ensure(&install, &spec).await.expect("ensure");
        wait_for_status(&two, &install, TIMEOUT, |status| *status == Status::Ready).await;
        let gateways = [
            TestGateway::new(Some(one), &server, install).await,
            TestGateway::new(Some(two), &server, install).await,
        ];
        let began = Instant::now();
        for round in 0..4 {
            let calls = (0..64).map(|caller| {
                let gateway = &gateways[caller % 2];
                async move {
                    let text = format!("caller {caller} round {round}");
                    (
                        text.clone(),
                        gateway.text("everything__echo", json!({ "message": text })).await,
                    )
                }
            });
            for (text, answer) in join_all(calls).await {
                assert_eq!(answer.as_deref(), Ok(format!("Echo: {text}").as_str()));
            }
        }
        println!("256 calls by 64 callers in {:?}", began.elapsed());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pod_deleted_under_load() {
    with_sandbox("killed", async |sandbox| {
        let runtime = Arc::new(sandbox.runtime());
        let server = servers::everything();
        let install = ready(&runtime, &servers::run(&server)).await;
        let gateway = TestGateway::new(Some(runtime.clone()), &server, install).await;
        let pod = sandbox.pods().await.remove(0).metadata.name.expect("a name");
        let began = Instant::now();
        let caller = async |caller: usize| {
            let (mut right, mut typed) = (0, 0);
            while began.elapsed() < Duration::from_secs(12) {
                let text = format!("caller {caller} at {:?}", began.elapsed());
                match gateway.text("everything__echo", json!({ "message": text })).await {
                    Ok(answer) => {
                        assert_eq!(answer, format!("Echo: {text}"));
                        right += 1;
                    }
                    Err(answer) => {
                        let failure = &answer["result"]["_meta"]["dev.portolan/failure"];
                        assert!(failure["cause"].is_string(), "typed: {answer}");
                        typed += 1;
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                }
            }
            (right, typed)
        };
        let kill = async {
            tokio::time::sleep(Duration::from_secs(2)).await;
            let now = DeleteParams::default().grace_period(0);
            sandbox.api::<Pod>().delete(&pod, &now).await.expect("deleted");
        };
        let (counts, ()) = tokio::join!(join_all((0..16).map(caller)), kill);
        let right: usize = counts.iter().map(|(right, _)| right).sum();
        let typed: usize = counts.iter().map(|(_, typed)| typed).sum();
        println!("{right} right answers, {typed} typed errors");
        wait_for_status(&runtime, &install, TIMEOUT, |status| *status == Status::Ready).await;
        assert_eq!(
            gateway
                .text("everything__echo", json!({ "message": "x" }))
                .await
                .as_deref(),
            Ok("Echo: x")
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn call_wakes_server() {
    with_sandbox("wakes", async |sandbox| {
        let runtime = Arc::new(sandbox.runtime());
        let server = servers::http_server();
        let install = ready(&runtime, &servers::run(&server)).await;
        let gateway = TestGateway::new(Some(runtime.clone()), &server, install).await;
        gateway
            .text("http__echo", json!({ "text": "x" }))
            .await
            .expect("an answer");
        runtime.sleep(&install).await.expect("asleep");
        wait_for_status(&runtime, &install, TIMEOUT, |status| *status == Status::Asleep).await;
        eventually("the pods are gone", TIMEOUT, async || {
            sandbox.pods().await.is_empty().then_some(())
        })
        .await;
        let began = Instant::now();
        let echo = gateway
            .text("http__echo", json!({ "text": "good morning" }))
            .await
            .expect("it is held until it is up");
        println!("woken and answered in {:?}", began.elapsed());
        assert!(echo.contains("good morning"), "{echo}");
    })
    .await;
}
