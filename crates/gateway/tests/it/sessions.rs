//! Sessions of legacy clients: whose they are, where they are good, and when they end.

use std::{sync::Arc, time::Duration};

use portolan_core::{Clock, SystemClock, memory::ManualClock};
use serde_json::json;

use crate::support::{
    client::ClientVersion,
    eventually,
    gateway::TestGateway,
    raw::Connection,
    upstreams::{Eras, http},
};

#[tokio::test]
async fn session_bound_to_caller_and_gateway() {
    let upstream = http(Eras::Both).await;
    let gateway = TestGateway::builder()
        .server("up", upstream.url())
        .published_as(["default", "other"])
        .start()
        .await;
    let client = gateway.connect(ClientVersion::V2025_11_25).await;
    let session = client.session.clone().expect("a session");
    let ping = || client.request("1", "ping", "", "");
    assert_eq!(client.send(&ping()).await.status(), 200);
    let mut unknown: Vec<_> = ["x", "", "AAAA", "../../etc", &"A".repeat(3000)]
        .map(|id| ping().with("mcp-session-id", id))
        .into();
    for at in [0, 1, 10, session.len() / 2, session.len() - 1] {
        let mut tampered = session.clone().into_bytes();
        tampered[at] = if tampered[at] == b'A' { b'B' } else { b'A' };
        unknown.push(ping().with("mcp-session-id", &String::from_utf8(tampered).expect("ASCII")));
    }
    unknown.push(ping().with("mcp-session-id", &format!("{session}=")));
    unknown.push(ping().with("mcp-session-id", &session[..session.len() - 2]));
    unknown.push(ping().with("authorization", "Bearer bob-token"));
    unknown.push(ping().path("/mcp/other"));
    for post in unknown {
        let answer = client.send(&post).await;
        assert_eq!((answer.status(), answer.code()), (404, -32600), "{post:?}");
        assert_eq!(answer.json()["id"], 1);
        assert_eq!(client.send(&post.verb("DELETE")).await.status(), 404);
    }
    for post in [ping().without("mcp-session-id"), ping().and("mcp-session-id", &session)] {
        let answer = client.send(&post).await;
        assert_eq!((answer.status(), answer.code()), (400, -32600), "{post:?}");
    }
    assert_eq!(client.send(&ping()).await.status(), 200, "nothing of this has ended it");
}

#[tokio::test]
async fn ended_session_is_unknown() {
    let upstream = http(Eras::Both).await;
    let gateway = TestGateway::with_server(upstream.url()).await;
    let client = gateway.connect(ClientVersion::V2025_06_18).await;
    let other = gateway.connect(ClientVersion::V2025_06_18).await;
    let ended = client.delete().await;
    assert_eq!((ended.status(), ended.body.len()), (204, 0));
    assert_eq!(client.call_method("ping", "").await.status(), 404);
    assert_eq!(
        client.tool("up__echo", json!({"text": "x"})).await["error"]["code"],
        -32600
    );
    assert_eq!(
        client.notify("notifications/initialized", json!({})).await.status(),
        404
    );
    assert_eq!(client.delete().await.status(), 404);
    assert_eq!(other.call_method("ping", "").await.status(), 200);
}

#[tokio::test]
async fn session_end_closes_upstream_sessions() {
    let upstream = http(Eras::Legacy).await;
    let gateway = TestGateway::with_server(upstream.url()).await;
    // The gateway's own session, for lists, is there.
    let listed = gateway
        .client(ClientVersion::V2026_07_28)
        .call_method("tools/list", "")
        .await;
    assert_eq!(listed.status(), 200);
    let before = upstream.sessions();
    let client = gateway.connect(ClientVersion::V2025_11_25).await;
    let other = gateway.connect(ClientVersion::V2025_11_25).await;
    for client in [&client, &other] {
        client.text("up__echo", json!({"text": "x"})).await;
        client.text("up__echo", json!({"text": "x"})).await;
    }
    assert_eq!(
        upstream.sessions(),
        before + 2,
        "each has one of its own, and opens it once"
    );
    assert_eq!(client.delete().await.status(), 204);
    eventually("ended", || upstream.sessions() == before + 1).await;
    other.text("up__echo", json!({"text": "x"})).await;
}

#[tokio::test]
async fn session_expires() {
    let upstream = http(Eras::Both).await;
    let clock = Arc::new(ManualClock::new(SystemClock.now()));
    let gateway = TestGateway::builder()
        .server("up", upstream.url())
        .clock(clock.clone())
        .config(|config| {
            config.timeouts.session_total = Duration::from_secs(3600);
            config.timeouts.session_idle = Duration::from_secs(600);
        })
        .start()
        .await;
    let client = gateway.connect(ClientVersion::V2025_11_25).await;
    assert_eq!(gateway.session_count(), 1);
    clock.advance(Duration::from_secs(1800));
    let _other = gateway.connect(ClientVersion::V2025_11_25).await;
    assert_eq!(gateway.session_count(), 1, "an unused one is forgotten");
    assert_eq!(
        client.text("up__echo", json!({"text": "on"})).await,
        "on",
        "and good all the same"
    );
    clock.advance(Duration::from_secs(1799));
    assert_eq!(client.call_method("ping", "").await.status(), 200);
    clock.advance(Duration::from_secs(1));
    assert_eq!(client.call_method("ping", "").await.status(), 404);
    assert_eq!(client.delete().await.status(), 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn evicted_sessions_stay_valid() {
    let upstream = http(Eras::Legacy).await;
    let gateway = TestGateway::builder()
        .server("up", upstream.url())
        .config(|config| config.limits.sessions = 500)
        .start()
        .await;
    let first = gateway.connect(ClientVersion::V2025_11_25).await;
    first.text("up__count", json!({"key": "k"})).await;
    let stranger = gateway.client(ClientVersion::V2025_11_25);
    let body = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}});
    let post = stranger.post(body.to_string()).bytes();
    let open = async |count: usize| {
        let mut connection = Connection::open(gateway.address).await;
        for _ in 0..count {
            connection.send(&post).await;
            let answer = connection.response().await.expect("an answer");
            assert!(answer.head.get("mcp-session-id").is_some());
        }
    };
    let mut most = 0;
    for _ in 0..20 {
        tokio::join!(open(250), open(250), open(250), open(250));
        most = most.max(gateway.session_count());
    }
    assert!(most <= 500, "{most} sessions are remembered");
    assert_eq!(first.text("up__count", json!({"key": "k"})).await, "2");
}

#[tokio::test]
async fn eviction_closes_upstream_sessions() {
    let upstream = http(Eras::Legacy).await;
    let clock = Arc::new(ManualClock::new(SystemClock.now()));
    let gateway = TestGateway::builder()
        .server("up", upstream.url())
        .clock(clock.clone())
        .start()
        .await;
    let client = gateway.connect(ClientVersion::V2025_11_25).await;
    client.text("up__count", json!({"key": "k"})).await;
    let before = upstream.sessions();
    clock.advance(Duration::from_secs(31 * 60));
    let _other = gateway.connect(ClientVersion::V2025_11_25).await;
    eventually("ended", || upstream.sessions() < before).await;
    assert_eq!(
        client.text("up__count", json!({"key": "k"})).await,
        "2",
        "it comes back in a new one"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn busy_session_is_not_evicted() {
    let upstream = http(Eras::Legacy).await;
    let gateway = TestGateway::builder()
        .server("up", upstream.url())
        .config(|config| config.limits.sessions = 2)
        .start()
        .await;
    let client = gateway.connect(ClientVersion::V2025_11_25).await;
    let post = client.call_with(
        "1",
        "up__progress",
        r#"{"steps":100000,"ms":3}"#,
        r#""progressToken":1"#,
    );
    let mut incoming = client.begin(&post).await;
    incoming.event().await.expect("a stream").expect("progress");
    for _ in 0..20 {
        gateway.connect(ClientVersion::V2025_11_25).await;
    }
    client.cancel("1").await;
    incoming.messages().await.expect("it ends");
    eventually("told", || !upstream.requests_of("notifications/cancelled").is_empty()).await;
}

#[tokio::test]
async fn duplicate_request_id_is_refused() {
    let upstream = http(Eras::Both).await;
    let gateway = TestGateway::with_server(upstream.url()).await;
    let client = gateway.connect(ClientVersion::V2025_11_25).await;
    let post = client.call("1", "up__sleep", r#"{"ms":60000}"#);
    let _first = client.send_only(&post).await;
    eventually("the server has it", || upstream.counters().calls == 1).await;
    let answer = client.send(&post).await;
    assert_eq!((answer.status(), answer.code()), (200, -32602), "an id twice at once");
    let other = gateway.connect(ClientVersion::V2025_11_25).await;
    assert_eq!(
        other.send(&other.call("1", "up__echo", r#"{"text":"x"}"#)).await.code(),
        0,
        "ids are a session's own"
    );
}
