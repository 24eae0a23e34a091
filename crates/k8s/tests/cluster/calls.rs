//! Tool calls to what runs in the cluster, through gateways.

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
    servers,
    test_gateway::Gate,
    test_namespace::{name, ready, until, with_room},
};

const SOON: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn from_install_to_a_tool_call_by_bridge_by_attach_by_http_and_by_url() {
    with_room("calls", async |room| {
        let runtime = Arc::new(room.runtime());
        let mut attached = servers::everything();
        attached.kubernetes.stdio = Some(StdioCarrier::Attach);
        for server in [servers::everything(), attached, servers::http_server()] {
            let began = Instant::now();
            let install = ready(&runtime, &servers::run(&server)).await;
            let up = began.elapsed();
            let gate = Gate::of(Some(runtime.clone()), &server, install).await;
            let tool = format!("{}__echo", server.name);
            let echo = gate
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
        let gate = Gate::of(None, &remote, name()).await;
        let echo = gate
            .text("remote__echo", json!({ "text": "hello" }))
            .await
            .expect("an answer");
        assert!(echo.contains("hello"), "{echo}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sixty_four_callers_of_one_stdio_server_through_two_gateways_get_their_own_answers() {
    with_room("many", async |room| {
        let (one, two) = (Arc::new(room.runtime()), Arc::new(room.runtime()));
        let server = servers::everything();
        let spec = servers::run(&server);
        let install = ready(&one, &spec).await;
        two.ensure(&install, &spec).await.expect("ensure");
        until(&two, &install, SOON, |status| *status == Status::Ready).await;
        let gates = [
            Gate::of(Some(one), &server, install).await,
            Gate::of(Some(two), &server, install).await,
        ];
        let began = Instant::now();
        for round in 0..4 {
            let calls = (0..64).map(|caller| {
                let gate = &gates[caller % 2];
                async move {
                    let text = format!("caller {caller} round {round}");
                    (
                        text.clone(),
                        gate.text("everything__echo", json!({ "message": text })).await,
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
async fn a_pod_that_is_deleted_under_load_gives_typed_errors_and_no_wrong_answer() {
    with_room("killed", async |room| {
        let runtime = Arc::new(room.runtime());
        let server = servers::everything();
        let install = ready(&runtime, &servers::run(&server)).await;
        let gate = Gate::of(Some(runtime.clone()), &server, install).await;
        let pod = room.pods().await.remove(0).metadata.name.expect("a name");
        let began = Instant::now();
        let caller = async |caller: usize| {
            let (mut right, mut typed) = (0, 0);
            while began.elapsed() < Duration::from_secs(12) {
                let text = format!("caller {caller} at {:?}", began.elapsed());
                match gate.text("everything__echo", json!({ "message": text })).await {
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
            room.api::<Pod>().delete(&pod, &now).await.expect("deleted");
        };
        let (counts, ()) = tokio::join!(join_all((0..16).map(caller)), kill);
        let right: usize = counts.iter().map(|(right, _)| right).sum();
        let typed: usize = counts.iter().map(|(_, typed)| typed).sum();
        println!("{right} right answers, {typed} typed errors");
        until(&runtime, &install, SOON, |status| *status == Status::Ready).await;
        assert_eq!(
            gate.text("everything__echo", json!({ "message": "x" }))
                .await
                .as_deref(),
            Ok("Echo: x")
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_wakes_a_server_that_sleeps() {
    with_room("wakes", async |room| {
        let runtime = Arc::new(room.runtime());
        let server = servers::http_server();
        let install = ready(&runtime, &servers::run(&server)).await;
        let gate = Gate::of(Some(runtime.clone()), &server, install).await;
        gate.text("http__echo", json!({ "text": "x" }))
            .await
            .expect("an answer");
        runtime.sleep(&install).await.expect("asleep");
        until(&runtime, &install, SOON, |status| *status == Status::Asleep).await;
        while !room.pods().await.is_empty() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let began = Instant::now();
        let echo = gate
            .text("http__echo", json!({ "text": "good morning" }))
            .await
            .expect("it is held until it is up");
        println!("woken and answered in {:?}", began.elapsed());
        assert!(echo.contains("good morning"), "{echo}");
    })
    .await;
}
