//! The GET stream of a session: what legacy clients are told outside of calls, by servers of both eras.

use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use crate::support::{
    client::{Client, ClientVersion},
    eventually,
    gateway::TestGateway,
    servers::notifying::NotifyingServer,
};

const SHORT: Duration = Duration::from_millis(300);

async fn start(modern: bool, version: ClientVersion) -> (NotifyingServer, TestGateway, Client) {
    let server = NotifyingServer::start(modern).await;
    let gateway = TestGateway::with_server(server.url()).await;
    let client = gateway.connect(version).await;
    (server, gateway, client)
}

fn subscribe(uri: &str) -> String {
    format!(r#""uri":"{uri}""#)
}

#[tokio::test]
async fn upstream_changes_are_delivered() {
    for modern in [false, true] {
        for version in [
            ClientVersion::V2025_03_26,
            ClientVersion::V2025_06_18,
            ClientVersion::V2025_11_25,
        ] {
            let (server, _site, client) = start(modern, version).await;
            client.tools().await;
            let mut stream = client.stream().await;
            assert_eq!(stream.head.status, 200);
            assert_eq!(stream.head.get("content-type"), Some("text/event-stream"));
            server.wait_for_stream().await;
            server.set_tools(&["new"]);
            let told = Instant::now();
            server.tools_changed();
            let event = stream.json().await;
            assert!(told.elapsed() < SHORT);
            assert_eq!(
                event,
                json!({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"})
            );
            assert_eq!(client.tools().await, ["up__new"]);
            assert_eq!(
                client
                    .call_method("resources/subscribe", &subscribe("file:///a"))
                    .await
                    .json()["result"],
                json!({})
            );
            assert_eq!(server.subscribed(), ["file:///a"]);
            assert_eq!(
                server.resource_updated("file:///a"),
                1 + usize::from(!modern) * (server.streams() - 1)
            );
            let event = stream.json().await;
            assert_eq!(event["method"], "notifications/resources/updated");
            assert_eq!(event["params"], json!({"uri": "file:///a"}));
            assert_eq!(
                client
                    .call_method("resources/unsubscribe", &subscribe("file:///a"))
                    .await
                    .status(),
                200
            );
            eventually("it is not told any more", || modern || server.subscribed().is_empty()).await;
            server.resource_updated("file:///a");
            assert!(stream.is_silent(SHORT).await);
        }
    }
}

#[tokio::test]
async fn unsupported_subscription_is_refused() {
    for modern in [false, true] {
        let (server, _site, client) = start(modern, ClientVersion::V2025_11_25).await;
        let answer = client
            .call_method("resources/subscribe", &subscribe("file:///unknown"))
            .await;
        assert_eq!(answer.code(), -32002, "{answer:?}");
        assert_eq!(answer.json()["error"]["data"]["uri"], "file:///unknown");
        for odd in [String::new(), r#""uri":1"#.into(), subscribe(&"x".repeat(3000))] {
            assert_eq!(client.call_method("resources/subscribe", &odd).await.code(), -32602);
        }
        assert_eq!(
            client
                .call_method("resources/unsubscribe", &subscribe("file:///never"))
                .await
                .json()["result"],
            json!({})
        );
        drop(server);
        let (server, _site, client) = start(modern, ClientVersion::V2025_11_25).await;
        server.refuse_streams();
        assert_eq!(
            client
                .call_method("resources/subscribe", &subscribe("file:///a"))
                .await
                .code(),
            -32601
        );
    }
}

#[tokio::test]
async fn subscriptions_are_bounded() {
    let server = NotifyingServer::start(true).await;
    let gateway = TestGateway::builder()
        .server("up", server.url())
        .config(|config| config.limits.subscriptions = 2)
        .start()
        .await;
    let client = gateway.connect(ClientVersion::V2025_11_25).await;
    for (uri, code) in [("a:1", 0), ("a:2", 0), ("a:1", 0), ("a:3", -32602)] {
        assert_eq!(
            client.call_method("resources/subscribe", &subscribe(uri)).await.code(),
            code,
            "{uri}"
        );
    }
    client.call_method("resources/unsubscribe", &subscribe("a:1")).await;
    assert_eq!(
        client
            .call_method("resources/subscribe", &subscribe("a:3"))
            .await
            .code(),
        0
    );
}

#[tokio::test]
async fn missed_notifications_are_queued() {
    for modern in [false, true] {
        let (server, _site, client) = start(modern, ClientVersion::V2025_11_25).await;
        client.tools().await;
        for uri in ["file:///a", "file:///b"] {
            assert_eq!(
                client.call_method("resources/subscribe", &subscribe(uri)).await.code(),
                0
            );
        }
        server.wait_for_stream().await;
        for _ in 0..10 {
            server.tools_changed();
            server.resource_updated("file:///b");
            server.resource_updated("file:///a");
        }
        // Long enough for them to reach the gateway, where they wait.
        tokio::time::sleep(SHORT).await;
        let mut stream = client.stream().await;
        assert_eq!(stream.json().await["method"], "notifications/tools/list_changed");
        assert_eq!(stream.json().await["params"]["uri"], "file:///b");
        assert_eq!(stream.json().await["params"]["uri"], "file:///a");
        assert!(stream.is_silent(SHORT).await);
    }
}

#[tokio::test]
async fn newest_stream_gets_notifications() {
    let (server, gateway, client) = start(true, ClientVersion::V2025_11_25).await;
    let mut streams = Vec::new();
    for _ in 0..4 {
        streams.push(client.stream().await);
    }
    assert_eq!(client.stream().await.head.status, 429);
    assert_eq!(gateway.stream_count(), 4);
    server.wait_for_stream().await;
    for left in (0..4).rev() {
        server.tools_changed();
        let mut newest = streams.pop().expect("a stream");
        assert_eq!(newest.json().await["method"], "notifications/tools/list_changed");
        drop(newest);
        eventually("it is closed", || gateway.stream_count() == left).await;
    }
    let mut last = client.stream().await;
    server.tools_changed();
    assert_eq!(last.json().await["method"], "notifications/tools/list_changed");
    assert!(last.is_silent(SHORT).await, "what others were told is not told again");
}

#[tokio::test]
async fn stream_is_bound_to_session() {
    let (_teller, gateway, client) = start(true, ClientVersion::V2025_11_25).await;
    let get = || client.post("").with("accept", "text/event-stream").verb("GET");
    for (status, post) in [
        (405, get().without("mcp-session-id")),
        (405, get().with("mcp-protocol-version", "2026-07-28")),
        (406, get().with("accept", "application/json")),
        (404, get().with("mcp-session-id", "x")),
        (404, get().with("authorization", "Bearer bob-token")),
        (401, get().without("authorization")),
        (403, get().with("origin", "https://elsewhere.example.com")),
    ] {
        assert_eq!(client.send(&post).await.status(), status, "{post:?}");
    }
    let mut stream = client.stream().await;
    assert_eq!(client.delete().await.status(), 204);
    assert_eq!(
        stream.event().await.expect("no break"),
        None,
        "it ends with its session"
    );
    assert_eq!(client.send(&get()).await.status(), 404);
    eventually("no stream", || gateway.stream_count() == 0).await;
}

#[tokio::test]
async fn sessions_share_upstream_stream() {
    let (server, gateway, first) = start(false, ClientVersion::V2025_11_25).await;
    let second = gateway.connect(ClientVersion::V2025_06_18).await;
    let (mut one, mut two) = (first.stream().await, second.stream().await);
    for client in [&first, &second] {
        assert_eq!(
            client
                .call_method("resources/subscribe", &subscribe("file:///a"))
                .await
                .code(),
            0
        );
    }
    assert_eq!(server.streams(), 1);
    assert_eq!(server.params_of("resources/subscribe").len(), 1);
    server.resource_updated("file:///a");
    assert_eq!(one.json().await["params"]["uri"], "file:///a");
    assert_eq!(two.json().await["params"]["uri"], "file:///a");
    first
        .call_method("resources/unsubscribe", &subscribe("file:///a"))
        .await;
    // Long enough for a request that should not be sent.
    tokio::time::sleep(SHORT).await;
    assert_eq!(
        server.params_of("resources/unsubscribe").len(),
        0,
        "the other still wants it"
    );
    server.resource_updated("file:///a");
    assert_eq!(two.json().await["params"]["uri"], "file:///a");
    assert!(one.is_silent(SHORT).await);
    assert_eq!(second.delete().await.status(), 204);
    eventually("nobody wants it", || {
        server.params_of("resources/unsubscribe").len() == 1
    })
    .await;
}

#[tokio::test]
async fn later_published_server_is_followed() {
    let (first, second) = (NotifyingServer::start(true).await, NotifyingServer::start(false).await);
    let gateway = TestGateway::builder().server("one", first.url()).start().await;
    let client = gateway.connect(ClientVersion::V2025_11_25).await;
    let mut stream = client.stream().await;
    gateway.publish("default", &[("two", &second.url())]).await;
    let mut methods = Vec::new();
    for _ in 0..3 {
        methods.push(stream.json().await["method"].as_str().expect("a method").to_owned());
    }
    methods.sort();
    let kinds = ["prompts", "resources", "tools"].map(|kind| format!("notifications/{kind}/list_changed"));
    assert_eq!(methods, kinds);
    second.wait_for_stream().await;
    second.tools_changed();
    assert_eq!(stream.json().await["method"], "notifications/tools/list_changed");
}

#[tokio::test]
async fn session_private_notification_is_delivered() {
    let (server, gateway, client) = start(false, ClientVersion::V2025_11_25).await;
    let other = gateway.connect(ClientVersion::V2025_11_25).await;
    let (mut stream, mut elsewhere) = (client.stream().await, other.stream().await);
    client.text("up__t", json!({})).await;
    let own = server.call_session();
    let log = json!({"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "info", "data": "x", "odd": [1]}});
    eventually("its stream is open", || server.send(&own, &log)).await;
    assert_eq!(stream.json().await, log);
    let done =
        json!({"jsonrpc": "2.0", "method": "notifications/elicitation/complete", "params": {"elicitationId": "e"}});
    assert!(server.send(&own, &done));
    assert_eq!(stream.json().await, done);
    assert!(server.send(&own, &json!({"jsonrpc": "2.0", "id": "p", "method": "ping"})));
    eventually("the ping is answered", || {
        let asked = server.server.requests();
        asked
            .iter()
            .any(|request| request.body["id"] == "p" && request.body["result"].is_object())
    })
    .await;
    assert!(elsewhere.is_silent(SHORT).await);
}
