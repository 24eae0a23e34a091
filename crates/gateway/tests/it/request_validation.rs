//! Invalid requests are refused before their method is looked at.

mod batches;
mod headers;
mod versions;

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{
    client::{ClientVersion, HttpRequest},
    gateway::TestGateway,
    raw::{Connection, HttpResponse},
    upstreams::{Eras, HttpFixture, http},
};

async fn start() -> (HttpFixture, TestGateway) {
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
    let (_upstream, gateway) = start().await;
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
    let (upstream, gateway) = start().await;
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
async fn oversized_body_refused_early() {
    let (_upstream, _site) = start().await;
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
    let (upstream, gateway) = start().await;
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
async fn invalid_params_are_refused() {
    let (upstream, gateway) = start().await;
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
async fn refusal_is_read_after_the_whole_body() {
    let upstream = http(Eras::Both).await;
    let gateway = TestGateway::with_server(upstream.url()).await;
    for version in ClientVersion::EACH_ERA {
        let client = gateway.connect(version).await;
        let large = client.call("1", "up__echo", &format!(r#"{{"text":"{}"}}"#, "x".repeat(8 << 20)));
        let refusals = [
            (413, large.clone()),
            (401, large.clone().with("authorization", "Bearer nobody")),
            (404, large.clone().path("/mcp/none")),
            (415, large.clone().with("content-type", "text/plain")),
        ];
        for (status, post) in refusals {
            let posts = (0..8).map(|_| async {
                let mut connection = Connection::open(gateway.address).await;
                // All of it is written before anything is read.
                connection.send(post.bytes()).await;
                connection.response().await.expect("no reset").status()
            });
            let statuses = futures_util::future::join_all(posts).await;
            assert_eq!(statuses, [status; 8], "{version:?}");
        }
    }
}
