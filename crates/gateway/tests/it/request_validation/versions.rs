//! Protocol versions, and what requests of the modern era must carry.

use portolan_wire::era::ProtocolVersion;
use serde_json::json;

use super::{refused, start};
use crate::support::{client::ClientVersion, gateway::TestGateway};

#[tokio::test]
async fn unsupported_version_is_refused() {
    let (_upstream, gateway) = start().await;
    let served = json!(["2026-07-28", "2025-11-25", "2025-06-18", "2025-03-26"]);
    let client = gateway.connect(ClientVersion::V2026_07_28).await;
    for version in ["2099-01-01", "v999"] {
        let mut post = client.call("7", "up__echo", "{}").with("mcp-protocol-version", version);
        post.body = String::from_utf8(post.body)
            .expect("UTF-8")
            .replace("2026-07-28", version)
            .into_bytes();
        let answer = client.send(&post).await;
        refused(&answer, 400, -32022, json!(7), version);
        assert_eq!(
            answer.json()["error"]["data"],
            json!({"supported": served, "requested": version})
        );
    }
    let client = gateway.connect(ClientVersion::V2025_11_25).await;
    let answer = client
        .send(
            &client
                .request("7", "ping", "", "")
                .with("mcp-protocol-version", "2024-11-05"),
        )
        .await;
    refused(&answer, 400, -32022, json!(7), "older than what is served");
}

#[tokio::test]
async fn initialize_negotiates_version() {
    let (upstream, gateway) = start().await;
    let stranger = gateway.client(ClientVersion::V2025_11_25);
    for (asked, agreed) in [
        ("2025-03-26", "2025-03-26"),
        ("2025-06-18", "2025-06-18"),
        ("2025-11-25", "2025-11-25"),
        ("2026-07-28", "2025-11-25"),
        ("2024-11-05", "2025-11-25"),
        ("2099-01-01", "2025-11-25"),
        ("nonsense", "2025-11-25"),
    ] {
        let answer = stranger.initialize(asked).await;
        assert_eq!(answer.json()["result"]["protocolVersion"], agreed, "{asked}");
    }
    let modern = TestGateway::builder()
        .server("up", upstream.url())
        .config(|config| config.versions = vec![ProtocolVersion::V2026_07_28])
        .start()
        .await;
    let answer = modern.client(ClientVersion::V2025_11_25).initialize("2025-11-25").await;
    refused(&answer, 400, -32022, json!(0), "a modern-only gateway");
    assert_eq!(answer.json()["error"]["data"]["supported"], json!(["2026-07-28"]));
    let legacy = TestGateway::builder()
        .server("up", upstream.url())
        .config(|config| config.versions = vec![ProtocolVersion::V2025_06_18])
        .start()
        .await;
    let answer = legacy.client(ClientVersion::V2025_11_25).initialize("2025-11-25").await;
    assert_eq!(answer.json()["result"]["protocolVersion"], "2025-06-18");
    let client = legacy.client(ClientVersion::V2026_07_28);
    refused(
        &client.call_method("tools/list", "").await,
        400,
        -32022,
        json!(1),
        "a legacy-only gateway",
    );
}

#[tokio::test]
async fn handshake_needs_its_params() {
    let (_upstream, gateway) = start().await;
    let stranger = gateway.client(ClientVersion::V2025_11_25);
    let info = r#""clientInfo":{"name":"t","version":"1"}"#;
    for params in [
        format!(r#""capabilities":[],{info}"#),
        format!(r#""capabilities":null,{info}"#),
        info.to_owned(),
        r#""capabilities":{}"#.into(),
        r#""capabilities":{},"clientInfo":"t""#.into(),
        r#""capabilities":{},"clientInfo":{"name":"t"}"#.into(),
        r#""capabilities":{},"clientInfo":{"name":1,"version":"1"}"#.into(),
    ] {
        let body = format!(
            r#"{{"jsonrpc":"2.0","id":0,"method":"initialize","params":{{"protocolVersion":"2025-11-25",{params}}}}}"#
        );
        let answer = stranger.send(&stranger.post(body)).await;
        assert_eq!(answer.code(), -32602, "{params} {answer:?}");
        assert_eq!(answer.head.get("mcp-session-id"), None, "{params}");
    }
}

#[tokio::test]
async fn modern_request_needs_meta() {
    let (_upstream, gateway) = start().await;
    let client = gateway.connect(ClientVersion::V2026_07_28).await;
    let version = r#""io.modelcontextprotocol/protocolVersion":"2026-07-28""#;
    for params in [
        "{}".to_owned(),
        r#"{"_meta":{}}"#.into(),
        r#"{"_meta":5}"#.into(),
        format!(r#"{{"_meta":{{{version}}}}}"#),
        format!(r#"{{"_meta":{{{version},"io.modelcontextprotocol/clientCapabilities":[]}}}}"#),
    ] {
        let body = format!(r#"{{"jsonrpc":"2.0","id":"m","method":"tools/list","params":{params}}}"#);
        let post = client.post(body).with("mcp-method", "tools/list");
        refused(&client.send(&post).await, 400, -32602, json!("m"), &params);
    }
    for method in [
        "initialize",
        "ping",
        "logging/setLevel",
        "resources/subscribe",
        "resources/unsubscribe",
    ] {
        let answer = client.call_method(method, "").await;
        assert_eq!((answer.status(), answer.code()), (404, -32601), "{method}");
    }
    let answer = client
        .send(&client.post(r#"{"jsonrpc":"2.0","id":1,"result":{}}"#))
        .await;
    assert_eq!((answer.status(), answer.code()), (400, -32600), "a response");
    let answer = client.notify("notifications/cancelled", json!({"requestId": 1})).await;
    assert_eq!((answer.status(), answer.body.len()), (202, 0), "a notification");
}
