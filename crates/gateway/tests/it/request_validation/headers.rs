//! Headers, media types, verbs and paths.

use serde_json::json;

use super::{refused, start};
use crate::support::client::ClientVersion;

#[tokio::test]
async fn media_types_verbs_and_paths() {
    let (_upstream, gateway) = start().await;
    let client = gateway.connect(ClientVersion::V2025_11_25).await;
    let ping = || client.request("1", "ping", "", "");
    let good = [
        ping().with("content-type", "application/json; charset=utf-8"),
        ping().with("content-type", "Application/JSON"),
        ping().with("accept", "*/*"),
        ping().without("accept"),
        ping().with("accept", "application/*, text/*"),
        ping()
            .with("accept", "application/json")
            .and("accept", "text/event-stream"),
        ping().with("accept", "text/event-stream;q=0.1, APPLICATION/json ;q=1"),
        ping().with("content-encoding", "identity"),
        ping().path("/mcp/default/"),
        ping().path("/mcp/default?token=alice-token"),
    ];
    for post in good {
        assert_eq!(client.send(&post).await.status(), 200, "{post:?}");
    }
    let bad = [
        (415, ping().without("content-type")),
        (415, ping().with("content-type", "text/plain")),
        (415, ping().with("content-type", "application/jsonx")),
        (
            415,
            ping().with("content-type", "multipart/form-data; x=application/json"),
        ),
        (415, ping().with("content-encoding", "gzip")),
        (406, ping().with("accept", "application/json")),
        (406, ping().with("accept", "text/event-stream")),
        (406, ping().with("accept", "text/html")),
        (406, ping().with("accept", "")),
        (406, ping().with("accept", "application/json, text/event-stream;q=0")),
        (406, ping().with("accept", "application/json;q=0.0, text/event-stream")),
        (406, ping().with("accept", "application/json;Q=0, text/event-stream")),
        (405, ping().verb("GET").without("mcp-session-id")),
        (405, ping().verb("PUT")),
        (405, ping().verb("PATCH")),
        (405, ping().verb("OPTIONS")),
        (405, ping().verb("DELETE").without("mcp-session-id")),
        (405, ping().verb("DELETE").with("mcp-protocol-version", "2026-07-28")),
        (405, ping().verb("GET").with("mcp-protocol-version", "2026-07-28")),
        (404, ping().path("/mcp/other")),
        (404, ping().path("/")),
        (404, ping().path("/mcp/")),
        (404, ping().path("/mcp/default/more")),
        (404, ping().path("/mcp/Default")),
        (404, ping().path("/mcp/%64efault")),
        (404, ping().path("/mcp//default")),
    ];
    for (status, post) in bad {
        let answer = client.send(&post).await;
        assert_eq!(answer.status(), status, "{post:?}");
        assert_eq!(answer.code(), -32600);
        let allow = answer.head.get("allow");
        assert_eq!(
            allow.is_some_and(|allow| allow.contains("POST")),
            status == 405,
            "{post:?}"
        );
    }
}

#[tokio::test]
async fn header_body_mismatch_is_refused() {
    let (upstream, gateway) = start().await;
    upstream.behave(|behaviour| {
        let schema = json!({"type": "object", "properties": {"region": {"type": "string", "x-mcp-header": "Region"}}});
        behaviour.extra_tools = vec![json!({"name": "regional", "inputSchema": schema})];
    });
    let client = gateway.connect(ClientVersion::V2026_07_28).await;
    let call = || client.call("7", "up__echo", r#"{"text":"x"}"#);
    let regional = |region: &str| client.call("7", "up__regional", region);
    let bad = [
        call().without("mcp-protocol-version"),
        call().with("mcp-protocol-version", "2025-11-25"),
        call().with("mcp-protocol-version", "v999"),
        call().and("mcp-protocol-version", "2026-07-28"),
        call().without("mcp-method"),
        call().with("mcp-method", "tools/list"),
        call().with("mcp-method", "Tools/Call"),
        call().and("mcp-method", "tools/call"),
        call().without("mcp-name"),
        call().with("mcp-name", "echo"),
        call().with("mcp-name", "up__Echo"),
        call().with("mcp-name", "=?base64?!!!?="),
        call().with("mcp-name", "=?base64?dXBfX2NvdW50?="),
        call().and("mcp-name", "up__echo"),
        client
            .request("7", "tools/list", "", "")
            .with("mcp-method", "tools/call"),
        regional(r#"{"region":"eu"}"#),
        regional(r#"{"region":"eu"}"#).with("mcp-param-region", "us"),
        regional("{}").with("mcp-param-region", "eu"),
    ];
    for post in bad {
        refused(&client.send(&post).await, 400, -32020, json!(7), &format!("{post:?}"));
    }
    assert_eq!(upstream.counters().calls, 0);
    let good = [
        call(),
        call().with("mcp-name", "=?base64?dXBfX2VjaG8=?="),
        call().with("mcp-param-unknown", "passes"),
        call().and("mcp-session-id", "is ignored"),
        regional(r#"{"region":"eu"}"#).with("mcp-param-region", "eu"),
        regional(r#"{"region":"ä"}"#).with("mcp-param-region", "=?base64?w6Q=?="),
        regional("{}"),
    ];
    for post in good {
        let answer = client.send(&post).await;
        assert!(
            answer.status() == 200 && answer.json()["result"].is_object(),
            "{post:?} {answer:?}"
        );
        assert_eq!(answer.head.get("mcp-session-id"), None);
    }
    let headers: Vec<_> = upstream
        .requests_of("tools/call")
        .iter()
        .map(|seen| seen.header("mcp-param-region").map(str::to_owned))
        .collect();
    assert_eq!(headers[4..], [Some("eu".into()), Some("=?base64?w6Q=?=".into()), None]);
}
