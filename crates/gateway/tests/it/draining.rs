//! A gateway that drains ends what it cannot finish, and says so.

use std::time::Duration;

use portolan_core::ServerRequestPolicy;
use serde_json::json;

use crate::support::{
    client::ClientVersion,
    dialogue::{assert_lost, call, respond, responses_to, result_text, resume_call},
    eventually,
    gateway::TestGateway,
    servers::{
        notifying::NotifyingServer,
        requesting::{CallReply, RequestingServer},
    },
};

const ELICITATION: &str = r#"{"elicitation":{}}"#;
const GRACE: Duration = Duration::from_secs(10);

async fn pair(server: &RequestingServer) -> [TestGateway; 2] {
    TestGateway::builder()
        .server("up", server.url())
        .server_requests(ServerRequestPolicy::ALL)
        .start_replicas()
        .await
}

#[tokio::test]
async fn suspended_call_is_cancelled() {
    for server in [
        RequestingServer::legacy().await,
        RequestingServer::out_of_band(CallReply::Events).await,
    ] {
        let [first, second] = pair(&server).await;
        let client = first.connect_with(ClientVersion::V2026_07_28, ELICITATION).await;
        let arguments = json!({"tag": "t"});
        let asked = call(&client, &arguments).await;
        assert_eq!(first.server_request_count(), 1);
        first.drain(GRACE).await;
        assert_eq!(first.server_request_count(), 0);
        assert_eq!(server.cancelled(), 1, "the server is told before the end");
        // Here as long as it is there, and elsewhere, whether it is there or not.
        assert_lost(&resume_call(&client, &arguments, &responses_to(&asked)).await);
        let there = client.at(second.address);
        assert_lost(&resume_call(&there, &arguments, &responses_to(&asked)).await);
        drop(first);
        assert_lost(&resume_call(&there, &arguments, &responses_to(&asked)).await);
        assert_eq!(server.calls(), 1, "it is not made again");
    }
}

#[tokio::test]
async fn legacy_request_is_withdrawn() {
    let server = RequestingServer::modern().await;
    let [first, second] = pair(&server).await;
    let client = first.connect_with(ClientVersion::V2025_11_25, ELICITATION).await;
    let mut incoming = client.begin(&client.call("\"1\"", "up__ask", r#"{"tag":"t"}"#)).await;
    let request = incoming.json().await;
    first.drain(GRACE).await;
    let taken_back = incoming.json().await;
    assert_eq!(taken_back["method"], "notifications/cancelled");
    assert_eq!(taken_back["params"]["requestId"], request["id"]);
    assert_lost(&incoming.json().await);
    assert_eq!(incoming.event().await.expect("whole"), None);
    assert_eq!(first.server_request_count(), 0);
    assert_eq!(
        respond(&client.at(second.address), &request).await,
        202,
        "late, and for nobody"
    );
    assert_eq!(server.calls(), 1, "it is not made again");
}

#[tokio::test]
async fn running_call_may_finish() {
    let server = RequestingServer::legacy().await;
    let [first, second] = pair(&server).await;
    let client = first.connect_with(ClientVersion::V2025_11_25, ELICITATION).await;
    let mut incoming = client.begin(&client.call("\"1\"", "up__ask", r#"{"tag":"t"}"#)).await;
    let request = incoming.json().await;
    let (_, message) = tokio::join!(first.drain(GRACE), async {
        assert_eq!(respond(&client.at(second.address), &request).await, 202);
        incoming.json().await
    });
    assert_eq!(result_text(&message), "t:t");
}

#[tokio::test]
async fn new_calls_are_not_suspended() {
    let server = RequestingServer::legacy().await;
    let [first, _second] = pair(&server).await;
    first.drain(GRACE).await;
    let client = first.connect_with(ClientVersion::V2026_07_28, ELICITATION).await;
    let refused = call(&client, &json!({"tag": "t"})).await;
    assert!(result_text(&refused).contains("cannot be asked now"), "{refused}");
    assert_eq!(
        result_text(&call(&client, &json!({"tag": "t", "requests": 0})).await),
        "t:"
    );
    let server = RequestingServer::modern().await;
    let [first, _second] = pair(&server).await;
    first.drain(GRACE).await;
    let client = first.connect_with(ClientVersion::V2025_11_25, ELICITATION).await;
    assert_lost(&client.tool("up__ask", json!({"tag": "t"})).await);
}

#[tokio::test]
async fn stateless_call_survives() {
    for server in [RequestingServer::resumable().await, RequestingServer::modern().await] {
        let [first, second] = pair(&server).await;
        let client = first.connect_with(ClientVersion::V2026_07_28, ELICITATION).await;
        let arguments = json!({"tag": "t"});
        let asked = call(&client, &arguments).await;
        first.drain(GRACE).await;
        drop(first);
        let message = resume_call(&client.at(second.address), &arguments, &responses_to(&asked)).await;
        assert_eq!(result_text(&message), "t:t");
    }
}

#[tokio::test]
async fn drain_respects_deadline() {
    let server = RequestingServer::legacy().await;
    let [first, _second] = pair(&server).await;
    let client = first.connect_with(ClientVersion::V2025_11_25, ELICITATION).await;
    let mut incoming = client.begin(&client.call("\"1\"", "up__ask", r#"{"tag":"t"}"#)).await;
    incoming.json().await;
    let began = std::time::Instant::now();
    first.drain(Duration::from_millis(100)).await;
    assert!(began.elapsed() < Duration::from_secs(5));
    eventually("it is still there", || first.server_request_count() == 1).await;
}

#[tokio::test]
async fn shutdown_closes_streams_to_servers() {
    for modern in [false, true] {
        let server = NotifyingServer::start(modern).await;
        let gateway = TestGateway::with_plain_names(&server.url()).await;
        let client = gateway.connect(ClientVersion::V2025_11_25).await;
        client.tools().await;
        let stream = client.stream().await;
        assert_eq!(stream.head.status, 200);
        server.wait_for_stream().await;
        let begun = std::time::Instant::now();
        gateway.shutdown(GRACE).await;
        assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
        eventually("no stream to the server is open", || server.streams() == 0).await;
        let refused = client.tool("echo", json!({})).await;
        assert_lost(&refused);
    }
}
