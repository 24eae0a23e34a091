//! Sessions at legacy servers, and which era a server version.

use std::{
    sync::Arc,
    sync::atomic::{AtomicBool, Ordering},
};

use portolan_core::ProtocolEra;
use portolan_fixtures::http::Fault;
use portolan_gateway::Upstream;
use serde_json::json;

use crate::support::{
    client::ClientVersion,
    gateway::TestGateway,
    servers::{Reply, legacy, scripted},
    upstreams::{Eras, http, http_again},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn expired_session_is_reopened_once() {
    let upstream = http(Eras::Legacy).await;
    let gateway = TestGateway::with_server(upstream.url()).await;
    for version in ClientVersion::ALL {
        let client = gateway.connect(version).await;
        client.text("up__echo", json!({"text": "x"})).await;
        let before = upstream.counters().sessions_opened;
        upstream.expire_sessions();
        let key = version.as_str();
        assert_eq!(client.text("up__count", json!({"key": key})).await, "1");
        assert_eq!(upstream.count(key), 1);
        assert_eq!(upstream.counters().sessions_opened, before + 1);
        assert_eq!(client.text("up__count", json!({"key": key})).await, "2");
        assert_eq!(upstream.counters().sessions_opened, before + 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_callers_reopen_once() {
    let upstream = http(Eras::Legacy).await;
    let gateway = TestGateway::with_server(upstream.url()).await;
    for version in ClientVersion::EACH_ERA {
        let client = gateway.connect(version).await;
        client.text("up__echo", json!({"text": "x"})).await;
        for _ in 0..5 {
            let before = upstream.counters().sessions_opened;
            upstream.expire_sessions();
            let calls = (0..16).map(|n| client.text("up__echo", json!({"text": n.to_string()})));
            let texts = futures_util::future::join_all(calls).await;
            assert_eq!(texts, (0..16).map(|n| n.to_string()).collect::<Vec<_>>());
            assert_eq!(upstream.counters().sessions_opened, before + 1);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn repeated_session_loss_is_bounded() {
    let upstream = http(Eras::Legacy).await;
    let gateway = TestGateway::with_server(upstream.url()).await;
    for version in ClientVersion::EACH_ERA {
        let client = gateway.connect(version).await;
        client.text("up__echo", json!({"text": "x"})).await;
        upstream.clear_requests();
        upstream.fault(Fault::status(404)).on("tools/call").arm();
        let answer = client.tool("up__echo", json!({"text": "x"})).await;
        assert_eq!(answer["result"]["isError"], true);
        assert_eq!(upstream.requests_of("tools/call").len(), 2);
        upstream.heal();
        assert_eq!(client.text("up__echo", json!({"text": "on"})).await, "on");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_have_own_upstream_sessions() {
    let upstream = http(Eras::Legacy).await;
    let gateway = TestGateway::with_server(upstream.url()).await;
    let mut seen = Vec::new();
    for (version, token) in [
        (ClientVersion::V2026_07_28, "alice-token"),
        (ClientVersion::V2026_07_28, "bob-token"),
        (ClientVersion::V2025_11_25, "alice-token"),
        (ClientVersion::V2025_11_25, "alice-token"),
    ] {
        let mut client = gateway.client(version).token(token);
        client.handshake().await;
        upstream.clear_requests();
        for _ in 0..3 {
            client.text("up__echo", json!({"text": "x"})).await;
        }
        let sessions: Vec<_> = upstream
            .requests_of("tools/call")
            .iter()
            .map(|call| call.header("mcp-session-id").map(str::to_owned))
            .collect();
        assert!(sessions.iter().all(|session| *session == sessions[0]), "{sessions:?}");
        assert!(!seen.contains(&sessions[0]));
        seen.push(sessions[0].clone());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_side_keeps_its_era() {
    for (eras, version, upstream_is_modern) in [
        (Eras::Both, ClientVersion::V2025_11_25, false),
        (Eras::Both, ClientVersion::V2026_07_28, true),
        (Eras::Legacy, ClientVersion::V2026_07_28, false),
        (Eras::Modern, ClientVersion::V2025_11_25, true),
    ] {
        let upstream = http(eras).await;
        let gateway = TestGateway::with_server(upstream.url()).await;
        let client = gateway.connect(version).await;
        client.text("up__echo", json!({"text": "x"})).await;
        let call = upstream.requests_of("tools/call").pop().expect("a call");
        let body = call.json();
        let meta = &body["params"]["_meta"];
        if upstream_is_modern {
            assert_eq!(call.header("mcp-protocol-version"), Some("2026-07-28"));
            assert_eq!(call.header("mcp-method"), Some("tools/call"));
            assert_eq!(call.header("mcp-name"), Some("echo"));
            assert_eq!(call.header("mcp-session-id"), None);
            assert_eq!(meta["io.modelcontextprotocol/protocolVersion"], "2026-07-28");
            assert!(meta["io.modelcontextprotocol/clientCapabilities"].is_object());
        } else {
            assert_eq!(call.header("mcp-protocol-version"), Some("2025-11-25"));
            assert!(call.header("mcp-session-id").is_some());
            assert_eq!(call.header("mcp-method"), None);
            assert!(meta.is_null(), "{meta}");
        }
        assert_eq!(body["params"]["name"], "echo");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unknown_meta_passes() {
    for eras in [Eras::Legacy, Eras::Modern] {
        let upstream = http(eras).await;
        let gateway = TestGateway::with_server(upstream.url()).await;
        for version in ClientVersion::EACH_ERA {
            let client = gateway.connect(version).await;
            let meta = r#""com.example/x":[1.50e3,"\u0041"],"traceparent":"00-1""#;
            client
                .send(&client.call_with("1", "up__echo", r#"{"text":"x"}"#, meta))
                .await;
            let call = upstream.requests_of("tools/call").pop().expect("a call");
            let text = String::from_utf8_lossy(&call.body).into_owned();
            assert!(
                text.contains(r#""com.example/x":[1.50e3,"\u0041"]"#) && text.contains(r#""traceparent":"00-1""#),
                "{text}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_probe_error_means_legacy() {
    let error = |code: i64| format!(r#"{{"jsonrpc":"2.0","id":0,"error":{{"code":{code},"message":"no"}}}}"#);
    let answers = [
        (400, "text/plain", "Bad Request: no session".to_owned()),
        (400, "application/json", error(-32600)),
        (400, "application/json", error(-32000)),
        (404, "text/plain", String::new()),
        (404, "application/json", error(-32601)),
        (405, "text/html", "<html>".into()),
        (406, "application/json", "{}".into()),
        (200, "application/json", error(-32601)),
        (200, "application/json", error(-32602)),
        (
            200,
            "application/json",
            r#"{"jsonrpc":"2.0","id":0,"result":{}}"#.into(),
        ),
        (200, "text/plain", "hello".into()),
        (200, "text/event-stream", format!("data: {}\n\n", error(-32601))),
        (202, "application/json", String::new()),
        (422, "application/json", r#"{"detail":"Unprocessable"}"#.into()),
    ];
    for (status, kind, body) in answers {
        let what = format!("{status} {kind} {body}");
        let upstream = scripted(move |request| match request.method() {
            "server/discover" => Reply::new(status, kind, body.clone()),
            "tools/call" => Reply::result(request, r#"{"content":[{"type":"text","text":"legacy"}]}"#),
            _ => legacy(request).unwrap_or_else(|| Reply::status(405)),
        })
        .await;
        let gateway = TestGateway::with_server(upstream.url()).await;
        for version in ClientVersion::EACH_ERA {
            let client = gateway.connect(version).await;
            assert_eq!(client.text("up__t", json!({})).await, "legacy", "{what}");
        }
        assert_eq!(
            upstream.count_of("server/discover"),
            1,
            "{what}: the answer is remembered"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn inconclusive_probe_is_repeated() {
    let faults = [
        Fault::status(500),
        Fault::status(503),
        Fault::too_many(1),
        Fault::unauthorized("Bearer"),
        Fault::status(403),
        Fault::redirect("/elsewhere"),
        Fault::CloseBeforeHead,
        Fault::CutBody { after: 10 },
    ];
    for fault in faults {
        let upstream = http(Eras::Both).await;
        upstream.fault(fault.clone()).on("server/discover").arm();
        let gateway = TestGateway::with_server(upstream.url()).await;
        let client = gateway.connect(ClientVersion::V2026_07_28).await;
        let answer = client.tool("up__echo", json!({"text": "x"})).await;
        assert_eq!(answer["result"]["isError"], true, "{fault:?}");
        upstream.heal();
        assert_eq!(client.text("up__echo", json!({"text": "x"})).await, "x");
        let call = upstream.requests_of("tools/call").pop().expect("a call");
        assert_eq!(
            call.header("mcp-protocol-version"),
            Some("2026-07-28"),
            "{fault:?}: it was not taken for a legacy one"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pinned_era_skips_probe() {
    for (pin, upstream_version) in [(ProtocolEra::Legacy, "2025-11-25"), (ProtocolEra::Modern, "2026-07-28")] {
        let upstream = http(Eras::Both).await;
        let gateway = TestGateway::builder()
            .upstream("up", Upstream::http(upstream.url()).era(pin))
            .start()
            .await;
        for version in ClientVersion::EACH_ERA {
            let client = gateway.connect(version).await;
            client.text("up__echo", json!({"text": "x"})).await;
            let call = upstream.requests_of("tools/call").pop().expect("a call");
            assert_eq!(call.header("mcp-protocol-version"), Some(upstream_version));
        }
        assert!(upstream.requests_of("server/discover").is_empty());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn era_change_is_detected() {
    for (before, after) in [(Eras::Legacy, Eras::Modern), (Eras::Modern, Eras::Legacy)] {
        for version in ClientVersion::EACH_ERA {
            let upstream = http(before).await;
            let address = upstream.address();
            let gateway = TestGateway::with_server(upstream.url()).await;
            let client = gateway.connect(version).await;
            client.text("up__echo", json!({"text": "x"})).await;
            drop(upstream);
            let upstream = http_again(address, after).await;
            let mut tries = 0;
            loop {
                tries += 1;
                let answer = client.tool("up__count", json!({"key": "k"})).await;
                if answer["result"].get("isError").is_none() && answer.get("error").is_none() {
                    break;
                }
                assert!(tries < 4, "{before:?} to {after:?} for {version:?}: {answer}");
            }
            assert_eq!(upstream.count("k"), 1);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessionless_server_works() {
    let upstream = scripted(|request| match request.method() {
        "server/discover" => Reply::status(400),
        "tools/call" => Reply::result(request, r#"{"content":[{"type":"text","text":"stateless"}]}"#),
        _ => legacy(request).unwrap_or_else(|| Reply::status(405)),
    })
    .await;
    let gateway = TestGateway::with_server(upstream.url()).await;
    for version in ClientVersion::ALL {
        let client = gateway.connect(version).await;
        assert_eq!(client.text("up__t", json!({})).await, "stateless");
        if !version.is_modern() {
            assert_eq!(client.delete().await.status(), 204);
        }
    }
    assert!(
        !upstream
            .requests()
            .iter()
            .any(|request| request.head.contains("mcp-session-id") || request.verb == "DELETE")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failed_handshake_is_retried() {
    let well = Arc::new(AtomicBool::new(false));
    let is_well = well.clone();
    let upstream = scripted(move |request| match request.method() {
        "server/discover" => Reply::status(404),
        "initialize" if !is_well.load(Ordering::Relaxed) => Reply::new(500, "text/plain", "not yet"),
        "tools/call" => Reply::result(request, r#"{"content":[{"type":"text","text":"up"}]}"#),
        _ => legacy(request).unwrap_or_else(|| Reply::status(405)),
    })
    .await;
    let gateway = TestGateway::with_server(upstream.url()).await;
    for version in ClientVersion::EACH_ERA {
        well.store(false, Ordering::Relaxed);
        let client = gateway.connect(version).await;
        let answer = client.tool("up__t", json!({})).await;
        assert_eq!(
            answer["result"]["_meta"]["dev.portolan/failure"]["retryable"], true,
            "{answer}"
        );
        well.store(true, Ordering::Relaxed);
        assert_eq!(client.text("up__t", json!({})).await, "up");
    }
}
