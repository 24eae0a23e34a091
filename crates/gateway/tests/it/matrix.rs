//! Every client era in front of every kind of server.

use serde_json::{Value, json};

use crate::support::{
    client::{Client, ClientVersion},
    gateway::TestGateway,
    upstreams::ServerKind,
};

/// Runs a case for clients of every version in front of one server.
async fn in_all_versions(kind: ServerKind, case: impl AsyncFn(ServerKind, &Client)) {
    let server = kind.start().await;
    let gateway = TestGateway::builder().upstream("up", server.upstream()).start().await;
    for version in ClientVersion::ALL {
        case(kind, &gateway.connect(version).await).await;
    }
}

portolan_fixtures::matrix! {
    in_all_versions: {
        http_legacy(ServerKind::HttpLegacy),
        http_modern(ServerKind::HttpModern),
        http_both(ServerKind::HttpBoth),
        stdio_legacy(ServerKind::StdioLegacy),
        stdio_modern(ServerKind::StdioModern),
    } x [
        introduction ping tools_list text_result structured_content_is_byte_exact ids_are_byte_exact
        tool_failure_is_result json_rpc_error_passes unknown_tool_is_invalid_params progress_is_ordered
        missing_features_are_empty
    ]
}

async fn introduction(_: ServerKind, client: &Client) {
    if client.version.is_modern() {
        let answer = client.call_method("server/discover", "").await;
        let result = &answer.json()["result"];
        assert_eq!(answer.status(), 200);
        assert_eq!(result["resultType"], "complete");
        assert_eq!(
            result["supportedVersions"],
            json!(["2026-07-28", "2025-11-25", "2025-06-18", "2025-03-26"])
        );
        assert!(result["capabilities"]["tools"].is_object());
        assert_eq!(
            result["_meta"]["io.modelcontextprotocol/serverInfo"]["name"],
            "portolan"
        );
        assert_eq!(answer.head.get("mcp-session-id"), None);
        return;
    }
    let answer = Client::new(client.address, client.version)
        .initialize(client.version.as_str())
        .await;
    let result = &answer.json()["result"];
    assert_eq!(answer.head.get("content-type"), Some("application/json"));
    assert_eq!(result["protocolVersion"], client.version.as_str());
    assert_eq!(result["serverInfo"]["name"], "portolan");
    assert_eq!(result.get("resultType"), None);
    let session = answer.head.get("mcp-session-id").expect("a session");
    assert!(session.bytes().all(|byte| byte.is_ascii_graphic()));
    let discover = client.call_method("server/discover", "").await;
    assert_eq!((discover.status(), discover.code()), (200, -32601));
}

async fn ping(_: ServerKind, client: &Client) {
    let answer = client.call_method("ping", "").await;
    if client.version.is_modern() {
        assert_eq!((answer.status(), answer.code()), (404, -32601));
    } else {
        assert_eq!(answer.json()["result"], json!({}));
    }
}

async fn tools_list(kind: ServerKind, client: &Client) {
    let answer = client.call_method("tools/list", "").await;
    let result = &answer.json()["result"];
    check_result(client, result);
    assert_eq!(answer.head.get("content-type"), Some("application/json"));
    assert_eq!(answer.head.get("mcp-session-id"), None);
    let names: Vec<_> = result["tools"]
        .as_array()
        .expect("tools")
        .iter()
        .map(|tool| &tool["name"])
        .collect();
    assert_eq!(names.len(), if kind.is_stdio() { 13 } else { 8 });
    assert!(names.contains(&&json!("up__echo")));
    assert!(names.is_sorted_by_key(|name| name.as_str()));
    if client.version.is_modern() {
        // What is left of the time that the server gave; a legacy server gives none.
        let (ttl, scope) = match kind {
            ServerKind::HttpLegacy => (0..=0, "private"),
            ServerKind::HttpModern | ServerKind::HttpBoth => (1..=60_000, "public"),
            ServerKind::StdioLegacy | ServerKind::StdioModern => (0..=0, "public"),
        };
        assert!(
            result["ttlMs"].as_u64().is_some_and(|left| ttl.contains(&left)),
            "{result}"
        );
        assert_eq!(result["cacheScope"], scope);
    }
    assert_eq!(result.get("nextCursor"), None);
    assert!(result["_meta"].get("dev.portolan/failure").is_none());
}

async fn text_result(kind: ServerKind, client: &Client) {
    let answer = client
        .send(&client.call("1", "up__echo", r#"{"text":"hällo \"you\"\n"}"#))
        .await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.head.get("content-type"), Some("application/json"));
    assert_eq!(answer.head.get("mcp-session-id"), None);
    let result = &answer.json()["result"];
    assert_eq!(result["content"], json!([{"type": "text", "text": "hällo \"you\"\n"}]));
    // The stdio fixture says `resultType` in both eras, and what a legacy server says passes to legacy clients.
    if kind != ServerKind::StdioLegacy || client.version.is_modern() {
        check_result(client, result);
    }
}

async fn structured_content_is_byte_exact(_: ServerKind, client: &Client) {
    let arguments = r#"{"text":"a\u0041ä\/","n":1.50e3,"big":123456789012345678901234567890,"z":{"unknown":[ 1.0,-0,"\ud83d\ude00"],"a":null}}"#;
    let answer = client.send(&client.call("1", "up__echo", arguments)).await;
    let text = answer.text();
    assert!(text.contains(&format!(r#""structuredContent":{arguments}"#)), "{text}");
}

async fn ids_are_byte_exact(_: ServerKind, client: &Client) {
    for id in [
        "0",
        "1",
        r#""1""#,
        r#""""#,
        "-7",
        "1.50",
        "123456789012345678901234567890",
        r#""\u0041é""#,
    ] {
        for post in [
            client.call(id, "up__echo", r#"{"text":"x"}"#),
            client.call(id, "up__nope", "{}"),
            client.request(id, "tools/list", "", ""),
            client.request(id, "odd/method", "", ""),
        ] {
            let answer = client.send(&post).await;
            let text = answer.text();
            assert!(
                text.starts_with(&format!(r#"{{"jsonrpc":"2.0","id":{id},"#)),
                "{id}: {text}"
            );
        }
    }
}

async fn tool_failure_is_result(_: ServerKind, client: &Client) {
    let answer = client.tool("up__fail", json!({})).await;
    assert_eq!(answer["result"]["isError"], true);
    assert_eq!(answer["result"]["content"][0]["text"], "planned failure");
    assert!(answer["result"]["_meta"].get("dev.portolan/failure").is_none());
}

async fn json_rpc_error_passes(kind: ServerKind, client: &Client) {
    let answer = client
        .send(&client.call("7", "up__rpc_error", r#"{"code":4711}"#))
        .await;
    assert_eq!(answer.status(), 200);
    let error = &answer.json()["error"];
    assert_eq!(error["message"], "planned error");
    // The stdio fixture's code is one of those that only the specification may give.
    assert_eq!(error["code"], if kind.is_stdio() { -32603 } else { 4711 });
    assert!(error["data"].is_object());
    for code in [-32020, -32022] {
        let answer = client.tool("up__rpc_error", json!({"code": code})).await;
        assert_eq!(answer["error"]["code"], -32603, "{code} is the gateway's affair");
    }
}

async fn unknown_tool_is_invalid_params(_: ServerKind, client: &Client) {
    for name in ["up__nope", "echo", "other__echo", "", "up__", "__echo", "up__echo "] {
        let answer = client
            .send(&client.call("3", name, "{}").with("mcp-name", &mcp_name(name)))
            .await;
        assert_eq!((answer.status(), answer.code()), (200, -32602), "{name:?}: {answer:?}");
    }
}

/// What has outer spaces, or is empty, travels in base64.
fn mcp_name(name: &str) -> String {
    use base64::Engine;
    let encoded = base64::engine::general_purpose::STANDARD.encode(name);
    format!("=?base64?{encoded}?=")
}

async fn progress_is_ordered(_: ServerKind, client: &Client) {
    for token in [r#""tök\u0041""#, "7", "0", "12345678901234567890"] {
        let post = client.call_with(
            "9",
            "up__progress",
            r#"{"steps":4,"ms":1}"#,
            &format!(r#""progressToken":{token}"#),
        );
        let incoming = client.begin(&post).await;
        assert_eq!(incoming.head.get("content-type"), Some("text/event-stream"));
        assert_eq!(incoming.head.get("x-accel-buffering"), Some("no"));
        assert_eq!(incoming.head.get("mcp-session-id"), None);
        let messages = incoming.messages().await.expect("a whole stream");
        assert_eq!(messages.len(), 5, "{messages:?}");
        for (step, message) in messages[..4].iter().enumerate() {
            assert!(message.contains(&format!(r#""progressToken":{token},"#)), "{message}");
            let message: Value = serde_json::from_str(message).expect("JSON");
            assert_eq!(message["method"], "notifications/progress");
            assert_eq!(message["params"]["progress"], step + 1);
        }
        let last: Value = serde_json::from_str(&messages[4]).expect("JSON");
        assert_eq!(last["id"], 9);
        assert!(last["result"]["content"].is_array());
    }
}

async fn missing_features_are_empty(_: ServerKind, client: &Client) {
    for (method, member) in [
        ("prompts/list", "prompts"),
        ("resources/list", "resources"),
        ("resources/templates/list", "resourceTemplates"),
    ] {
        let answer = client.call_method(method, "").await;
        let result = &answer.json()["result"];
        check_result(client, result);
        assert_eq!((answer.status(), &result[member]), (200, &json!([])), "{method}");
    }
    let answer = client.call_method("odd", "").await;
    let status = if client.version.is_modern() { 404 } else { 200 };
    assert_eq!((answer.status(), answer.code()), (status, -32601));
}

/// `resultType` is the mark of the modern era, and only of that.
#[track_caller]
fn check_result(client: &Client, result: &Value) {
    let expected = client.version.is_modern().then(|| json!("complete"));
    assert_eq!(result.get("resultType"), expected.as_ref(), "{result}");
}
