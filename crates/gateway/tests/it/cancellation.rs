//! A modern client cancels a call by disconnecting, a legacy client by a notification.

use std::time::Duration;

use serde_json::json;

use crate::support::{
    client::{Client, ClientVersion},
    eventually, eventually_async,
    gateway::TestGateway,
    raw::ResponseStream,
    upstreams::{Eras, Server, ServerKind, http},
};

const LONG: &str = r#"{"steps":100000,"ms":3}"#;
const SLEEP: &str = r#"{"ms":60000}"#;

/// Runs a case in front of one server.
async fn in_front_of(kind: ServerKind, case: impl AsyncFn(&Server, &TestGateway)) {
    let server = kind.start().await;
    let gateway = TestGateway::builder().upstream("up", server.upstream()).start().await;
    case(&server, &gateway).await;
}

portolan_fixtures::matrix! {
    in_front_of: {
        http_legacy(ServerKind::HttpLegacy),
        http_modern(ServerKind::HttpModern),
        http_both(ServerKind::HttpBoth),
        stdio_legacy(ServerKind::StdioLegacy),
        stdio_modern(ServerKind::StdioModern),
    } x [
        modern_disconnect_cancels modern_early_disconnect_cancels legacy_notification_cancels
        legacy_early_notification_cancels legacy_disconnect_keeps_call disconnected_legacy_client_can_cancel
    ]
}

/// A call that has shown its first progress.
async fn under_way(client: &Client, id: &str) -> ResponseStream {
    let post = client.call_with(id, "up__progress", LONG, r#""progressToken":1"#);
    let mut incoming = client.begin(&post).await;
    incoming.event().await.expect("a stream").expect("progress");
    incoming
}

/// Waits until the server has begun with so many calls.
async fn begun(server: &Server, calls: usize) {
    eventually("the server has the call", || server.begun() >= calls).await;
}

async fn modern_disconnect_cancels(server: &Server, gateway: &TestGateway) {
    let client = gateway.connect(ClientVersion::V2026_07_28).await;
    drop(under_way(&client, "1").await);
    eventually("the server sees it", || server.cancels() >= 1).await;
    assert_eq!(client.text("up__echo", json!({"text": "on"})).await, "on");
}

async fn modern_early_disconnect_cancels(server: &Server, gateway: &TestGateway) {
    let client = gateway.connect(ClientVersion::V2026_07_28).await;
    let connection = client.send_only(&client.call("1", "up__sleep", SLEEP)).await;
    begun(server, 1).await;
    drop(connection);
    eventually("the server sees it", || server.cancels() >= 1).await;
}

async fn legacy_notification_cancels(server: &Server, gateway: &TestGateway) {
    for version in [ClientVersion::V2025_03_26, ClientVersion::V2025_11_25] {
        let before = server.cancels();
        let client = gateway.connect(version).await;
        let mut incoming = under_way(&client, r#""the call""#).await;
        assert_eq!(client.cancel(r#""another""#).await.status(), 202);
        assert_eq!(client.cancel(r#""the call""#).await.status(), 202);
        while let Some(event) = incoming.event().await.expect("a proper end") {
            assert!(event.contains("notifications/progress"), "no answer comes: {event}");
        }
        eventually("the server is told", || server.cancels() > before).await;
    }
}

async fn legacy_early_notification_cancels(server: &Server, gateway: &TestGateway) {
    let client = gateway.connect(ClientVersion::V2025_11_25).await;
    let connection = client.send_only(&client.call("5", "up__sleep", SLEEP)).await;
    begun(server, 1).await;
    assert_eq!(client.cancel("5").await.status(), 202);
    let messages = connection.incoming().await.messages().await.expect("a proper end");
    assert_eq!(messages, [""; 0]);
    eventually("the server is told", || server.cancels() >= 1).await;
    let again = client.send(&client.call("5", "up__echo", r#"{"text":"again"}"#)).await;
    assert_eq!(
        again.json()["result"]["content"][0]["text"],
        "again",
        "the id is free again"
    );
}

async fn legacy_disconnect_keeps_call(server: &Server, gateway: &TestGateway) {
    let client = gateway.connect(ClientVersion::V2025_11_25).await;
    let post = client.call_with("901", "up__progress", r#"{"steps":20,"ms":2}"#, r#""progressToken":1"#);
    let mut incoming = client.begin(&post).await;
    incoming.event().await.expect("a stream").expect("progress");
    drop(incoming);
    let connection = client.send_only(&client.call("902", "up__sleep", r#"{"ms":50}"#)).await;
    begun(server, 2).await;
    drop(connection);
    // An id is taken for as long as its call runs on.
    for id in ["901", "902"] {
        eventually_async("the id is free", async || {
            let answer = client.send(&client.call(id, "up__echo", r#"{"text":"x"}"#)).await;
            answer.code() != -32602
        })
        .await;
    }
    gateway.drain(Duration::from_secs(10)).await;
    assert_eq!(server.cancels(), 0);
}

async fn disconnected_legacy_client_can_cancel(server: &Server, gateway: &TestGateway) {
    let client = gateway.connect(ClientVersion::V2025_06_18).await;
    drop(under_way(&client, "901").await);
    let connection = client.send_only(&client.call("902", "up__sleep", SLEEP)).await;
    begun(server, 2).await;
    drop(connection);
    // The gateway may see a little later that the client has gone; a cancellation before or after that is as good.
    client.cancel("901").await;
    client.cancel("902").await;
    eventually("the server is told of both", || server.cancels() >= 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn call_completes_after_legacy_disconnect() {
    for eras in [Eras::Legacy, Eras::Modern] {
        let upstream = http(eras).await;
        let gateway = TestGateway::with_server(upstream.url()).await;
        let client = gateway.connect(ClientVersion::V2025_11_25).await;
        client.text("up__echo", json!({"text": "warm"})).await;
        let before = upstream.counters().requests;
        upstream.behave(|behaviour| behaviour.delay = Some(Duration::from_millis(100)));
        let connection = client.send_only(&client.call("9", "up__count", r#"{"key":"k"}"#)).await;
        eventually("the server has the call", || upstream.counters().requests > before).await;
        drop(connection);
        eventually("it was counted", || upstream.count("k") == 1).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cancellation_precedes_session_end() {
    let upstream = http(Eras::Legacy).await;
    let gateway = TestGateway::with_server(upstream.url()).await;
    for _ in 0..10 {
        upstream.clear_requests();
        let client = gateway.connect(ClientVersion::V2025_11_25).await;
        let incoming = under_way(&client, "1").await;
        client.cancel("1").await;
        assert_eq!(client.delete().await.status(), 204);
        eventually("the session is ended", || {
            upstream.requests().iter().any(|seen| seen.http_method == "DELETE")
        })
        .await;
        let seen = upstream.requests();
        let cancelled = seen
            .iter()
            .position(|seen| seen.method.as_deref() == Some("notifications/cancelled"));
        let ended = seen
            .iter()
            .position(|seen| seen.http_method == "DELETE")
            .expect("ended");
        let cancelled = cancelled.expect("the cancellation came");
        assert!(cancelled < ended);
        assert_eq!(
            seen[cancelled].header("mcp-session-id"),
            seen[ended].header("mcp-session-id")
        );
        let call = seen.iter().find(|seen| seen.method.as_deref() == Some("tools/call"));
        let id = call.map(|call| call.json()["id"].clone());
        assert_eq!(Some(&seen[cancelled].json()["params"]["requestId"]), id.as_ref());
        drop(incoming);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn session_end_cancels_calls() {
    let upstream = http(Eras::Legacy).await;
    let gateway = TestGateway::with_server(upstream.url()).await;
    let client = gateway.connect(ClientVersion::V2025_11_25).await;
    let incoming = under_way(&client, "1").await;
    assert_eq!(client.delete().await.status(), 204);
    incoming.messages().await.expect("a proper end");
    eventually("told", || !upstream.requests_of("notifications/cancelled").is_empty()).await;
    eventually("ended", || {
        upstream.requests().iter().any(|seen| seen.http_method == "DELETE")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn foreign_session_cannot_cancel() {
    let upstream = http(Eras::Legacy).await;
    let gateway = TestGateway::with_server(upstream.url()).await;
    let client = gateway.connect(ClientVersion::V2025_11_25).await;
    let other = gateway.connect(ClientVersion::V2025_11_25).await;
    let mut incoming = under_way(&client, "1").await;
    other.cancel("1").await;
    for _ in 0..5 {
        incoming.event().await.expect("a stream").expect("progress goes on");
    }
    assert!(upstream.requests_of("notifications/cancelled").is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cancelled_batch_call_has_no_response() {
    let upstream = http(Eras::Both).await;
    let gateway = TestGateway::with_server(upstream.url()).await;
    let client = gateway.connect(ClientVersion::V2025_03_26).await;
    let batch = r#"[{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"up__sleep","arguments":{"ms":60000}}},
                    {"jsonrpc":"2.0","id":2,"method":"ping"}]"#;
    let connection = client.send_only(&client.post(batch)).await;
    eventually("the server has the call", || upstream.counters().calls > 0).await;
    client.cancel("1").await;
    let answers = connection.incoming().await.rest().await.expect("an answer");
    assert_eq!(
        String::from_utf8_lossy(&answers),
        r#"[{"jsonrpc":"2.0","id":2,"result":{}}]"#
    );
}
