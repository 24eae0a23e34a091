//! What a gateway that is about to end tells those who wait for something.

use std::time::Duration;

use portolan_core::ServerRequestPolicy;
use serde_json::{Value, json};

use crate::support::{
    client::{Client, Speaks},
    conversation::{answer, answers, next, one, text},
    eventually,
    servers::requesting::{CallReply, RequestingServer},
    world::{Site, replicas},
};

const ABLE: &str = r#"{"elicitation":{}}"#;
const GRACE: Duration = Duration::from_secs(10);

async fn pair(server: &RequestingServer) -> [Site; 2] {
    replicas(&[("up", &server.url())], ServerRequestPolicy::ALL, |_| {}).await
}

fn assert_lost(message: &Value) {
    assert_eq!(message["result"]["isError"], true, "{message}");
    assert_eq!(
        message["result"]["_meta"]["dev.portolan/failure"]["cause"], "stopped",
        "{message}"
    );
}

#[tokio::test]
async fn suspended_call_is_cancelled() {
    for server in [
        RequestingServer::legacy().await,
        RequestingServer::out_of_band(CallReply::Events).await,
    ] {
        let [first, second] = pair(&server).await;
        let client = Client::able(first.address, Speaks::Modern, ABLE).await;
        let arguments = json!({"tag": "t"});
        let asked = one(&client, &arguments, "").await;
        assert_eq!(first.gateway.question_count(), 1);
        first.gateway.drain(GRACE).await;
        assert_eq!(first.gateway.question_count(), 0);
        assert_eq!(server.cancelled(), 1, "the server is told before the end");
        // Here as long as it is there, and elsewhere, whether it is there or not.
        assert_lost(&one(&client, &arguments, &answers(&asked)).await);
        let there = client.at(second.address);
        assert_lost(&one(&there, &arguments, &answers(&asked)).await);
        drop(first);
        assert_lost(&one(&there, &arguments, &answers(&asked)).await);
        assert_eq!(server.calls(), 1, "it is not made again");
    }
}

#[tokio::test]
async fn legacy_request_is_withdrawn() {
    let server = RequestingServer::modern().await;
    let [first, second] = pair(&server).await;
    let client = Client::able(first.address, Speaks::November, ABLE).await;
    let mut incoming = client.begin(&client.call("\"1\"", "up__ask", r#"{"tag":"t"}"#)).await;
    let question = next(&mut incoming).await;
    first.gateway.drain(GRACE).await;
    let taken_back = next(&mut incoming).await;
    assert_eq!(taken_back["method"], "notifications/cancelled");
    assert_eq!(taken_back["params"]["requestId"], question["id"]);
    assert_lost(&next(&mut incoming).await);
    assert_eq!(incoming.event().await.expect("whole"), None);
    assert_eq!(first.gateway.question_count(), 0);
    assert_eq!(
        answer(&client.at(second.address), &question).await,
        202,
        "late, and for nobody"
    );
    assert_eq!(server.calls(), 1, "it is not made again");
}

#[tokio::test]
async fn running_call_may_finish() {
    let server = RequestingServer::legacy().await;
    let [first, second] = pair(&server).await;
    let client = Client::able(first.address, Speaks::November, ABLE).await;
    let mut incoming = client.begin(&client.call("\"1\"", "up__ask", r#"{"tag":"t"}"#)).await;
    let question = next(&mut incoming).await;
    let (_, message) = tokio::join!(first.gateway.drain(GRACE), async {
        assert_eq!(answer(&client.at(second.address), &question).await, 202);
        next(&mut incoming).await
    });
    assert_eq!(text(&message), "t:t");
}

#[tokio::test]
async fn new_calls_are_not_suspended() {
    let server = RequestingServer::legacy().await;
    let [first, _second] = pair(&server).await;
    first.gateway.drain(GRACE).await;
    let client = Client::able(first.address, Speaks::Modern, ABLE).await;
    let refused = one(&client, &json!({"tag": "t"}), "").await;
    assert!(text(&refused).contains("cannot be asked now"), "{refused}");
    assert_eq!(text(&one(&client, &json!({"tag": "t", "requests": 0}), "").await), "t:");
    let server = RequestingServer::modern().await;
    let [first, _second] = pair(&server).await;
    first.gateway.drain(GRACE).await;
    let client = Client::able(first.address, Speaks::November, ABLE).await;
    assert_lost(&client.tool("up__ask", json!({"tag": "t"})).await);
}

#[tokio::test]
async fn stateless_call_survives() {
    for server in [RequestingServer::resumable().await, RequestingServer::modern().await] {
        let [first, second] = pair(&server).await;
        let client = Client::able(first.address, Speaks::Modern, ABLE).await;
        let arguments = json!({"tag": "t"});
        let asked = one(&client, &arguments, "").await;
        first.gateway.drain(GRACE).await;
        drop(first);
        let message = one(&client.at(second.address), &arguments, &answers(&asked)).await;
        assert_eq!(text(&message), "t:t");
    }
}

#[tokio::test]
async fn drain_respects_deadline() {
    let server = RequestingServer::legacy().await;
    let [first, _second] = pair(&server).await;
    let client = Client::able(first.address, Speaks::November, ABLE).await;
    let mut incoming = client.begin(&client.call("\"1\"", "up__ask", r#"{"tag":"t"}"#)).await;
    next(&mut incoming).await;
    let began = std::time::Instant::now();
    first.gateway.drain(Duration::from_millis(100)).await;
    assert!(began.elapsed() < Duration::from_secs(5));
    eventually("it is still there", || first.gateway.question_count() == 1).await;
}
