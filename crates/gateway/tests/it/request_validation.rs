//! What is refused before a method is looked at, and how.

use std::time::Duration;

use portolan_wire::era::ProtocolVersion;
use serde_json::{Value, json};

use crate::support::{
    client::{ClientVersion, HttpRequest},
    gateway::TestGateway,
    raw::{Connection, HttpResponse},
    upstreams::{Eras, HttpFixture, http},
};

async fn world() -> (HttpFixture, TestGateway) {
    let upstream = http(Eras::Both).await;
    let gateway = TestGateway::with_server(upstream.url()).await;
    (upstream, gateway)
}

/// A refusal: its status, its code, and the id of the request where that could be read.
#[track_caller]
fn refused(answer: &HttpResponse, status: u16, code: i64, id: Value, what: &str) {
    assert_eq!((answer.status(), answer.code()), (status, code), "{what}: {answer:?}");
    assert_eq!(answer.head.get("content-type"), Some("application/json"), "{what}");
    assert_eq!(answer.json().get("id").unwrap_or(&Value::Null), &id, "{what}");
    assert_eq!(answer.json()["jsonrpc"], "2.0", "{what}");
}

#[tokio::test]
async fn invalid_body_is_refused() {
    let (_upstream, gateway) = world().await;
    let deep = |levels: usize| {
        format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"x","params":{{"a":{}1{}}}}}"#,
            "[".repeat(levels),
            "]".repeat(levels)
        )
    };
    let long_id = format!(r#"{{"jsonrpc":"2.0","id":"{}","method":"ping"}}"#, "x".repeat(1100));
    let long_method = format!(r#"{{"jsonrpc":"2.0","id":5,"method":"{}"}}"#, "x".repeat(300));
    let (too_deep, far_too_deep) = (deep(200), deep(100_000));
    let cases: [(&[u8], i64, Value); 30] = [
        (b"", -32700, Value::Null),
        (b"{", -32700, Value::Null),
        (b"hello", -32700, Value::Null),
        (b"\xef\xbb\xbf{}", -32700, Value::Null),
        (br#"{"jsonrpc":"2.0","id":1,"method":"ping"} x"#, -32700, Value::Null),
        (br#"{"jsonrpc":"2.0","id":1,"method":"ping",}"#, -32700, Value::Null),
        (br#"{"jsonrpc":"2.0","id":01,"method":"ping"}"#, -32700, Value::Null),
        (
            b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"a\xff\"}",
            -32700,
            Value::Null,
        ),
        (
            b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"a\nb\"}",
            -32700,
            Value::Null,
        ),
        (too_deep.as_bytes(), -32700, Value::Null),
        (far_too_deep.as_bytes(), -32700, Value::Null),
        (b"1", -32600, Value::Null),
        (b"null", -32600, Value::Null),
        (b"{}", -32600, Value::Null),
        (b"[1]", -32600, Value::Null),
        (br#"{"id":1,"method":"ping"}"#, -32600, json!(1)),
        (br#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#, -32600, json!(1)),
        (br#"{"jsonrpc":2.0,"id":1,"method":"ping"}"#, -32600, json!(1)),
        (br#"{"jsonrpc":"2.0","id":true,"method":"ping"}"#, -32600, Value::Null),
        (br#"{"jsonrpc":"2.0","id":[1],"method":"ping"}"#, -32600, Value::Null),
        (br#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#, -32600, Value::Null),
        (
            br#"{"jsonrpc":"2.0","id":null,"method":"notifications/cancelled"}"#,
            -32600,
            Value::Null,
        ),
        (
            br#"{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}"#,
            -32600,
            Value::Null,
        ),
        (
            br#"{"jsonrpc":"2.0","id":4,"method":"ping","method":"x"}"#,
            -32600,
            json!(4),
        ),
        (br#"{"jsonrpc":"2.0","id":"q","method":5}"#, -32600, json!("q")),
        (
            br#"{"jsonrpc":"2.0","id":5,"method":"ping","params":[1]}"#,
            -32600,
            json!(5),
        ),
        (
            br#"{"jsonrpc":"2.0","id":5,"method":"ping","result":{}}"#,
            -32600,
            json!(5),
        ),
        (br#"{"jsonrpc":"2.0","id":5}"#, -32600, json!(5)),
        (long_id.as_bytes(), -32600, Value::Null),
        (long_method.as_bytes(), -32600, json!(5)),
    ];
    for version in ClientVersion::EACH_ERA {
        let client = gateway.connect(version).await;
        for (body, code, id) in &cases {
            let answer = client.send(&client.post(*body)).await;
            let what = String::from_utf8_lossy(&body[..body.len().min(80)]);
            refused(&answer, 400, *code, id.clone(), &what);
        }
    }
}

#[tokio::test]
async fn duplicate_members_are_refused() {
    let (upstream, gateway) = world().await;
    let client = gateway.connect(ClientVersion::V2026_07_28).await;
    let twice = client.call("1", "up__echo", "{}");
    let text = String::from_utf8(twice.body.clone()).expect("UTF-8");
    for (from, to) in [
        (r#""arguments":{}"#, r#""name":"up__count","arguments":{}"#),
        (r#""arguments":{}"#, r#""arguments":{},"n\u0061me":"up__count""#),
        (
            r#""_meta":{"#,
            r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2025-11-25","#,
        ),
    ] {
        let post = HttpRequest {
            body: text.replace(from, to).into_bytes(),
            ..twice.clone()
        };
        assert_eq!(client.send(&post).await.status(), 400, "{to}");
    }
    assert_eq!(upstream.counters().calls, 0);
}

#[tokio::test]
async fn media_types_verbs_and_paths() {
    let (_upstream, gateway) = world().await;
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
async fn oversized_body_refused_early() {
    let (_upstream, _site) = world().await;
    let gateway = TestGateway::builder()
        .server("up", _upstream.url())
        .config(|config| config.limits.request_bytes = 10_000)
        .start()
        .await;
    let client = gateway.connect(ClientVersion::V2026_07_28).await;
    let fits = |length: usize| {
        let empty = client.call("1", "up__echo", r#"{"text":""}"#).body.len();
        client.call(
            "1",
            "up__echo",
            &format!(r#"{{"text":"{}"}}"#, "x".repeat(length - empty)),
        )
    };
    let just = fits(10_000);
    assert_eq!(just.body.len(), 10_000);
    assert_eq!(client.send(&just).await.status(), 200);
    let mut connection = Connection::open(gateway.address).await;
    connection.send(just.chunked(7)).await;
    assert_eq!(connection.response().await.expect("an answer").status(), 200);
    // By its length alone.
    let mut connection = Connection::open(gateway.address).await;
    let mut head = just.head();
    head.extend_from_slice(b"content-length: 10001\r\n\r\n");
    connection.send(head).await;
    refused(
        &connection.response().await.expect("an answer"),
        413,
        -32600,
        Value::Null,
        "announced",
    );
    // Without a length, as soon as it is over.
    let mut connection = Connection::open(gateway.address).await;
    let mut bytes = fits(10_001).chunked(1000);
    bytes.truncate(bytes.len() - 5);
    connection.send(bytes).await;
    refused(
        &connection.response().await.expect("an answer"),
        413,
        -32600,
        Value::Null,
        "chunked",
    );
}

#[tokio::test]
async fn slow_body_times_out() {
    let upstream = http(Eras::Both).await;
    let gateway = TestGateway::builder()
        .server("up", upstream.url())
        .config(|config| config.timeouts.body = Duration::from_millis(50))
        .start()
        .await;
    let client = gateway.connect(ClientVersion::V2026_07_28).await;
    let post = client.call("1", "up__echo", r#"{"text":"x"}"#);
    let mut connection = Connection::open(gateway.address).await;
    let bytes = post.bytes();
    connection.send(&bytes[..bytes.len() - 1]).await;
    refused(
        &connection.response().await.expect("an answer"),
        408,
        -32600,
        Value::Null,
        "slow",
    );
}

#[tokio::test]
async fn truncated_body_is_ignored() {
    let (upstream, gateway) = world().await;
    let client = gateway.connect(ClientVersion::V2026_07_28).await;
    let post = client.call("1", "up__count", r#"{"key":"k"}"#);
    for bytes in [post.bytes(), post.chunked(11)] {
        for cut in [1, 6, 20] {
            let mut connection = Connection::open(gateway.address).await;
            connection.send(&bytes[..bytes.len() - cut]).await;
            connection.finish().await;
            if let Ok(answer) = connection.response().await {
                assert_eq!(answer.status(), 400, "{answer:?}");
            }
        }
    }
    assert_eq!(upstream.count("k"), 0);
    assert_eq!(client.text("up__count", json!({"key": "k"})).await, "1");
}

#[tokio::test]
async fn header_body_mismatch_is_refused() {
    let (upstream, gateway) = world().await;
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

#[tokio::test]
async fn unsupported_version_is_refused() {
    let (_upstream, gateway) = world().await;
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
    let (upstream, gateway) = world().await;
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
async fn modern_request_needs_meta() {
    let (_upstream, gateway) = world().await;
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

#[tokio::test]
async fn invalid_params_are_refused() {
    let (upstream, gateway) = world().await;
    for version in ClientVersion::EACH_ERA {
        let client = gateway.connect(version).await;
        for params in [r#""arguments":{}"#, r#""name":5"#, r#""name":null"#] {
            let post = client.request("1", "tools/call", params, "");
            let answer = client.send(&post).await;
            assert_eq!(
                answer.json()["error"]["code"]
                    .as_i64()
                    .map(|code| code == -32602 || code == -32020),
                Some(true),
                "{params} {answer:?}"
            );
        }
        for cursor in [r#""nonsense""#, r#""""#, "5", "null"] {
            let answer = client.call_method("tools/list", &format!(r#""cursor":{cursor}"#)).await;
            assert_eq!((answer.status(), answer.code()), (200, -32602), "{cursor}");
        }
    }
    assert_eq!(upstream.counters().calls, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batches_only_in_2025_03_26() {
    let (upstream, gateway) = world().await;
    let call = |id: &str, tool: &str, arguments: &str| {
        format!(
            r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"{tool}","arguments":{arguments},"_meta":{{"progressToken":{id}}}}}}}"#
        )
    };
    let batch = [
        call("1", "up__echo", r#"{"text":"a"}"#),
        r#"{"jsonrpc":"2.0","method":"notifications/odd"}"#.into(),
        call(r#""1""#, "up__fail", "{}"),
        call("3", "up__nope", "{}"),
        call("1", "up__echo", r#"{"text":"an id twice at once"}"#),
        call("4", "up__rpc_error", r#"{"code":77}"#),
        r#"{"jsonrpc":"2.0","id":5,"method":"ping"}"#.into(),
        r#"{"jsonrpc":"2.0","id":6,"method":"odd"}"#.into(),
        call("7", "up__progress", r#"{"steps":2}"#),
        r#"{"jsonrpc":"2.0","id":99,"result":{}}"#.into(),
        r#"{"jsonrpc":"2.0","id":8,"method":"tools/list"}"#.into(),
        r#"{"jsonrpc":"2.0","id":9,"method":"initialize","params":{"protocolVersion":"2025-03-26"}}"#.into(),
    ];
    let text = format!("[{}]", batch.join(","));
    for version in ClientVersion::ALL {
        let client = gateway.connect(version).await;
        let answer = client.send(&client.post(text.clone())).await;
        if version != ClientVersion::V2025_03_26 {
            refused(&answer, 400, -32600, Value::Null, "a batch");
            continue;
        }
        assert_eq!(answer.status(), 200);
        let Value::Array(answers) = answer.json() else {
            panic!("{answer:?}")
        };
        let ids: Vec<_> = answers.iter().map(|answer| answer["id"].clone()).collect();
        assert_eq!(
            ids,
            [
                json!(1),
                json!("1"),
                json!(3),
                json!(1),
                json!(4),
                json!(5),
                json!(6),
                json!(7),
                json!(8),
                json!(9)
            ]
        );
        assert_eq!(answers[0]["result"]["content"][0]["text"], "a");
        assert_eq!(answers[1]["result"]["isError"], true);
        let codes: Vec<_> = answers
            .iter()
            .map(|answer| answer["error"]["code"].as_i64().unwrap_or_default())
            .collect();
        assert_eq!(codes, [0, 0, -32602, -32602, 77, 0, -32601, 0, 0, -32601]);
        assert_eq!(answers[7]["result"]["content"][0]["text"], "2 steps done");
        assert!(answers[8]["result"]["tools"].is_array());
        // Only what wants no answer.
        let quiet = client
            .send(
                &client
                    .post(r#"[{"jsonrpc":"2.0","method":"notifications/odd"},{"jsonrpc":"2.0","id":1,"result":{}}]"#),
            )
            .await;
        assert_eq!((quiet.status(), quiet.body.len()), (202, 0));
        refused(
            &client.send(&client.post("[]")).await,
            400,
            -32600,
            Value::Null,
            "an empty batch",
        );
        let ping = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
        let long = format!("[{}]", vec![ping; 51].join(","));
        refused(
            &client.send(&client.post(long)).await,
            400,
            -32600,
            Value::Null,
            "a long batch",
        );
        let broken = format!("[{ping},{{}}]");
        assert_eq!(client.send(&client.post(broken)).await.status(), 400);
    }
    let stranger = gateway.client(ClientVersion::V2025_03_26);
    refused(
        &stranger.send(&stranger.post(text)).await,
        400,
        -32600,
        Value::Null,
        "a batch without a session",
    );
    assert_eq!(upstream.count("k"), 0);
}
