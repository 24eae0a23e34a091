//! The orderly end.

use std::time::{Duration, Instant};

use portolan::{Owner, Platform, Selection, ServerSpec};
use serde_json::json;

use crate::support::{Place, WITHIN, ask, legacy_stream, listen, stdio};

/// An MCP server of the host, on the same listener as the gateway: its GET streams stay open until the gateway closes them.
fn mounted() -> axum::Router {
    use axum::{body::Body, http::HeaderMap, response::Response, routing::get};

    async fn post(text: String) -> Response {
        let message: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
        let result = match message["method"].as_str().unwrap_or_default() {
            "initialize" => json!({
                "protocolVersion": "2025-11-25",
                "capabilities": {"tools": {"listChanged": true}},
                "serverInfo": {"name": "mounted", "version": "1"},
            }),
            "tools/list" => json!({"tools": [{"name": "look", "inputSchema": {"type": "object"}}]}),
            _ => json!({}),
        };
        let answer = json!({"jsonrpc": "2.0", "id": message["id"], "result": result});
        let (status, body) = match message.get("id") {
            Some(_) => (200, Body::from(answer.to_string())),
            None => (202, Body::empty()),
        };
        Response::builder()
            .status(status)
            .header("content-type", "application/json")
            .header("mcp-session-id", "s")
            .body(body)
            .expect("an answer")
    }

    async fn stream(_: HeaderMap) -> Response {
        let silent = futures_util::stream::pending::<Result<String, std::io::Error>>();
        Response::builder()
            .header("content-type", "text/event-stream")
            .body(Body::from_stream(silent))
            .expect("an answer")
    }

    axum::Router::new().route("/own", get(stream).post(post).delete(async || ""))
}

#[tokio::test]
async fn server_on_the_same_listener_does_not_hold_the_process() {
    let place = Place::new();
    let platform = place.platform().await;
    let (end, ended) = tokio::sync::oneshot::channel::<()>();
    let end_asked = async { drop(ended.await) };
    let app = platform.router().merge(mounted());
    let (address, serving) = listen(app, platform.shutdown_on(end_asked, WITHIN)).await;
    let spec = ServerSpec::remote("own", format!("{address}/own")).expect("a spec");
    let server = platform.ensure(spec).await.expect("a server");
    platform.install(&server, Owner::Org).await.expect("an install");
    let gateway = platform
        .gateway("default")
        .select(Selection::All)
        .await
        .expect("a gateway");
    let token = platform.issue_token(&gateway, Owner::Org).await.expect("a token");
    let url = format!("{address}/mcp/default");
    let stream = legacy_stream(&url, &token).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let begun = Instant::now();
    end.send(()).expect("still waits");
    serving.await.expect("ends");
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    drop(stream);
}

#[cfg(target_os = "linux")]
#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "tells the inner run from the outer one")]
async fn no_child_process_is_left() {
    // In a process of its own, so that only the children of this test are counted.
    if std::env::var_os("PORTOLAN_TEST_ALONE").is_none() {
        let this = std::env::current_exe().expect("this program");
        let done = std::process::Command::new(this)
            .args(["--exact", "shutdown::no_child_process_is_left", "--nocapture"])
            .env("PORTOLAN_TEST_ALONE", "1")
            .status();
        assert!(done.expect("run").success());
        return;
    }
    let place = Place::new();
    let platform = place.platform().await;
    for name in ["one", "two"] {
        let server = platform.ensure(stdio(name)).await.expect("a server");
        platform.install(&server, Owner::Org).await.expect("an install");
    }
    assert!(crate::support::children().len() >= 2);
    platform.shutdown(WITHIN).await.expect("ends");
    assert_eq!(crate::support::children(), Vec::<u32>::new());
    let server = platform.ensure(stdio("three")).await.expect("a server");
    platform
        .install(&server, Owner::Org)
        .await
        .expect_err("nothing starts any more");
    platform.shutdown(WITHIN).await.expect("ends twice");
}

#[tokio::test]
async fn call_under_way_may_finish() {
    let place = Place::new();
    let platform: Platform = place.platform().await;
    let slow = axum::Router::new().route(
        "/slow",
        axum::routing::post(async |text: String| {
            let message: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
            let result = match message["method"].as_str().unwrap_or_default() {
                "initialize" => json!({
                    "protocolVersion": "2025-11-25", "capabilities": {"tools": {}},
                    "serverInfo": {"name": "slow", "version": "1"},
                }),
                "tools/list" => json!({"tools": [{"name": "wait", "inputSchema": {"type": "object"}}]}),
                "tools/call" => {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    json!({"content": [{"type": "text", "text": "done"}]})
                }
                _ => json!({}),
            };
            axum::Json(json!({"jsonrpc": "2.0", "id": message["id"], "result": result}))
        }),
    );
    let (upstream, _serving) = listen(slow, std::future::pending()).await;
    let spec = ServerSpec::remote("slow", format!("{upstream}/slow")).expect("a spec");
    let server = platform.ensure(spec).await.expect("a server");
    platform.install(&server, Owner::Org).await.expect("an install");
    let gateway = platform
        .gateway("default")
        .select(Selection::All)
        .await
        .expect("a gateway");
    let token = platform.issue_token(&gateway, Owner::Org).await.expect("a token");
    let (address, _serving) = listen(platform.router(), std::future::pending()).await;
    let url = format!("{address}/mcp/default");
    let params = json!({"name": "slow__wait", "arguments": {}});
    let calling = ask(&url, &token, "tools/call", params.clone());
    let ending = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        platform.shutdown(WITHIN).await.expect("ends");
    };
    let ((status, answer), ()) = tokio::join!(calling, ending);
    assert_eq!(status, 200);
    assert_eq!(answer["result"]["content"][0]["text"], "done", "{answer}");
    let (_, refused) = ask(&url, &token, "tools/call", params).await;
    assert!(refused.to_string().contains("shutting down"), "{refused}");
}
