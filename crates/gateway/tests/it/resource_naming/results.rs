//! Results whose URIs are rewritten while they flow by: nothing else in them changes.

use portolan_core::{ResourceNaming, ServerRequestPolicy};
use portolan_gateway::{GatewayConfig, Upstream};
use serde_json::{Value, json};

use crate::support::{
    client::ClientVersion,
    gateway::TestGateway,
    servers::resources::resource_server,
    servers::{Reply, Request, ScriptedServer, legacy, modern, scripted},
};

/// Content with everything that looks like a URI, before and after.
const BEFORE: &str = r#"[ {"uri":"note://1","type":"resource_link","name":"n","x":{"uri":"note://x"}, "icons":[{"src":"note://icon"}]},{"type":"resource","resource":{"text":"\u00e9 \"uri\":\"note:\/\/2\"" , "u\u0072i":"note:\/\/2","_meta":{"uri":"note://3"}},"n":-0.50e+07},{"type":"text","text":"{\"uri\":\"note://1\"}"},{"type":"resource","resource":{"uri":"\u0075i://app/main","blob":""}},{"uri":null,"type":"future"} ]"#;
const AFTER: &str = r#"[ {"uri":"mcp+a+note://1","type":"resource_link","name":"n","x":{"uri":"note://x"}, "icons":[{"src":"note://icon"}]},{"type":"resource","resource":{"text":"\u00e9 \"uri\":\"note:\/\/2\"" , "u\u0072i":"mcp+a+note:\/\/2","_meta":{"uri":"note://3"}},"n":-0.50e+07},{"type":"text","text":"{\"uri\":\"note://1\"}"},{"type":"resource","resource":{"uri":"\u0075i://a/app/main","blob":""}},{"uri":null,"type":"future"} ]"#;
/// What a program made and a program reads is opaque.
const OPAQUE: &str =
    r#""structuredContent":{"uri":"note://1","content":[{"uri":"note://1"}]},"zz":[1.0,{"uri":"note://1"}]"#;

async fn prefixed(upstream: &str, change: impl FnOnce(&mut GatewayConfig)) -> TestGateway {
    TestGateway::builder()
        .server("a", upstream)
        .config(change)
        .settings(|builder| builder.resource_naming(ResourceNaming::Prefix))
        .start()
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_resource_uris_change() {
    for is_modern in [false, true] {
        let given = format!(r#"{{"resultType":"complete","content":{BEFORE},{OPAQUE}}}"#);
        let given = if is_modern {
            given
        } else {
            given.replace(r#""resultType":"complete","#, "")
        };
        let upstream = resource_server(is_modern, "a", given).await;
        let gateway = prefixed(&upstream.url(), |_| {}).await;
        for version in [
            ClientVersion::V2025_06_18,
            ClientVersion::V2025_11_25,
            ClientVersion::V2026_07_28,
        ] {
            let client = gateway.connect(version).await;
            let answer = client.send(&client.call("5", "a__give", "{}")).await;
            let expected = format!(r#""content":{AFTER},{OPAQUE}"#);
            assert!(answer.text().contains(&expected), "{version:?} {}", answer.text());
            for uri in ["mcp+a+note://1", "mcp+a+note://2", "ui://a/app/main"] {
                let read = client
                    .call_method("resources/read", &format!(r#""uri":"{uri}""#))
                    .await
                    .json();
                assert_eq!(read["result"]["contents"][0]["uri"], uri);
            }
        }
        // A client that knows no links is told in words, by the URI that it can read.
        let client = gateway.connect(ClientVersion::V2025_03_26).await;
        let answer = client.tool("a__give", json!({})).await;
        assert_eq!(
            answer["result"]["content"][0],
            json!({"type": "text", "text": "n: mcp+a+note://1"})
        );
    }
}

/// The answer to a call, in the shapes that servers give it.
#[derive(Clone, Copy, Debug)]
enum Shape {
    Json,
    /// In chunks of this size.
    Chunks(usize),
    /// As an event, in pieces of this size.
    Events(usize),
}

/// A server that answers calls with `result`.
async fn giving(is_modern: bool, shape: Shape, result: String) -> ScriptedServer {
    scripted(move |request: &Request| {
        let known = if is_modern { modern(request) } else { legacy(request) };
        if let Some(act) = known {
            return act;
        }
        if request.method() != "tools/call" {
            return Reply::result(request, "{}");
        }
        let message = format!(r#"{{"jsonrpc":"2.0","id":{},"result":{result}}}"#, request.id());
        match shape {
            Shape::Json => Reply::new(200, "application/json", message),
            Shape::Chunks(size) => {
                let mut text = String::from(
                    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n",
                )
                .into_bytes();
                for chunk in message.as_bytes().chunks(size) {
                    text.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                    text.extend_from_slice(chunk);
                    text.extend_from_slice(b"\r\n");
                }
                text.extend_from_slice(b"0\r\n\r\n");
                Reply::Raw(text)
            }
            Shape::Events(size) => {
                let (events, reply) = Reply::events();
                let event: Vec<char> = format!("data: {message}\n\n").chars().collect();
                for piece in event.chunks(size) {
                    events.send_raw(piece.iter().collect::<String>());
                }
                reply
            }
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chunking_does_not_matter() {
    // More than is looked at whole.
    let filler = "\\u00e4é\\\\".repeat(3000);
    let text = format!(r#"{{"type":"text","text":"{filler}"}}"#);
    for is_modern in [false, true] {
        for shape in [
            Shape::Json,
            Shape::Chunks(1),
            Shape::Chunks(7),
            Shape::Events(1),
            Shape::Events(1000),
        ] {
            for order in ["first", "last"] {
                let (before, after) = match order {
                    "first" => (
                        format!(r#""content":[{},{text}],{OPAQUE}"#, &BEFORE[2..BEFORE.len() - 2]),
                        format!(r#""content":[{},{text}],{OPAQUE}"#, &AFTER[2..AFTER.len() - 2]),
                    ),
                    _ => (
                        format!(r#"{OPAQUE},"content":[{text},{}]"#, &BEFORE[2..BEFORE.len() - 2]),
                        format!(r#"{OPAQUE},"content":[{text},{}]"#, &AFTER[2..AFTER.len() - 2]),
                    ),
                };
                let upstream = giving(is_modern, shape, format!("{{{before}}}")).await;
                let gateway = prefixed(&upstream.url(), |_| {}).await;
                for version in ClientVersion::EACH_ERA {
                    let client = gateway.connect(version).await;
                    let incoming = client.begin(&client.call("5", "a__t", "{}")).await;
                    let messages = incoming.messages().await.expect("a whole answer");
                    assert!(
                        messages[0].contains(&after),
                        "{is_modern} {shape:?} {order} {version:?}"
                    );
                    let read: Value = serde_json::from_str(&messages[0]).expect("JSON");
                    assert_eq!(read["id"], 5);
                    assert_eq!(read["result"].get("resultType").is_some(), version.is_modern());
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_result_is_streamed() {
    const LARGE: usize = 16 << 20;
    let blob = "x".repeat(LARGE);
    let result = format!(
        r#"{{"content":[{{"type":"resource","resource":{{"blob":"{blob}","uri":"note://1"}}}},{{"type":"resource_link","name":"n","uri":"ui://app/main"}}]}}"#
    );
    for is_modern in [false, true] {
        for shape in [Shape::Json, Shape::Chunks(100_000), Shape::Events(100_000)] {
            let upstream = giving(is_modern, shape, result.clone()).await;
            // Nothing that is held may be larger.
            let gateway = prefixed(&upstream.url(), |config| config.limits.held_bytes = 64 << 10).await;
            for version in ClientVersion::EACH_ERA {
                let client = gateway.connect(version).await;
                let incoming = client.begin(&client.call("5", "a__t", "{}")).await;
                let messages = incoming.messages().await.expect("a whole answer");
                let end = messages[0].rsplit_once(&blob).expect("the blob, whole").1;
                let expected =
                    r#"","uri":"mcp+a+note://1"}},{"type":"resource_link","name":"n","uri":"ui://a/app/main"}]"#;
                assert!(end.starts_with(expected), "{shape:?} {end}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damaged_result_is_failure() {
    let large = "x".repeat(64 << 10);
    for text in ["x", &large] {
        let result = format!(r#"{{"content":[{{"type":"text","text":"{text}"}},}}]}}"#);
        let upstream = giving(true, Shape::Json, result).await;
        let gateway = prefixed(&upstream.url(), |_| {}).await;
        let client = gateway.connect(ClientVersion::V2026_07_28).await;
        let mut connection = client.send_only(&client.call("5", "a__t", "{}")).await;
        // A large one was begun to be passed on: then it breaks off.
        if let Ok(answer) = connection.response().await {
            assert_eq!(answer.json()["result"]["isError"], true, "{answer:?}");
        }
        assert_eq!(client.tools().await, ["a__t"]);
    }
}

/// A modern server that wants to know its client's roots before it answers.
async fn curious() -> ScriptedServer {
    scripted(|request: &Request| {
        let given = match &request.body["params"]["inputResponses"] {
            Value::Null => {
                r#"{"resultType":"input_required","inputRequests":{"r":{"method":"roots/list","params":{}}},"requestState":"s"}"#.to_owned()
            }
            _ => format!(r#"{{"resultType":"complete","content":{BEFORE}}}"#),
        };
        modern(request).unwrap_or_else(|| Reply::result(request, &given))
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn client_uris_are_not_rewritten() {
    let upstream = curious().await;
    let upstreams = [(
        "a",
        Upstream::http(upstream.url()).server_requests(ServerRequestPolicy::ALL),
    )];
    let gateway = TestGateway::builder()
        .upstreams(upstreams)
        .settings(|builder| builder.resource_naming(ResourceNaming::Prefix))
        .start()
        .await;
    let roots = json!({"roots": [{"uri": "file:///home", "name": "home"}]});
    for version in ClientVersion::EACH_ERA {
        let client = gateway.connect_with(version, r#"{"roots":{}}"#).await;
        let call = |extra: &str| {
            client.request(
                "5",
                "tools/call",
                &format!(r#""name":"a__t","arguments":{{}}{extra}"#),
                "",
            )
        };
        let answer = if version.is_modern() {
            let asked = client.send(&call("")).await.json();
            let state = &asked["result"]["requestState"];
            let extra = format!(r#","inputResponses":{},"requestState":{state}"#, json!({"r": roots}));
            client.send(&call(&extra)).await.text().to_owned()
        } else {
            let mut incoming = client.begin(&call("")).await;
            let question = incoming.json().await;
            assert_eq!(question["method"], "roots/list");
            let body = json!({"jsonrpc": "2.0", "id": question["id"], "result": roots});
            assert_eq!(client.send(&client.post(body.to_string())).await.status(), 202);
            incoming.event().await.expect("no break").expect("an answer")
        };
        assert!(answer.contains(&format!(r#""content":{AFTER}"#)), "{answer}");
        let last = upstream.requests().pop().expect("a request").body;
        assert_eq!(last["params"]["inputResponses"]["r"], roots);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn task_result_is_rewritten() {
    let upstream = scripted(|request: &Request| {
        let task =
            r#""taskId":"t1","createdAt":"2026-01-01T00:00:00Z","lastUpdatedAt":"2026-01-01T00:00:00Z","ttlMs":null"#;
        let given = match request.method() {
            "tools/call" => format!(r#"{{"resultType":"task","status":"working",{task}}}"#),
            _ => format!(
                r#"{{"resultType":"complete","status":"completed",{task},"result":{{"content":{BEFORE},{OPAQUE}}}}}"#
            ),
        };
        modern(request).unwrap_or_else(|| Reply::result(request, &given))
    })
    .await;
    let gateway = prefixed(&upstream.url(), |_| {}).await;
    let tasks = r#"{"extensions":{"io.modelcontextprotocol/tasks":{}}}"#;
    let client = gateway.connect_with(ClientVersion::V2026_07_28, tasks).await;
    let created = client.tool("a__t", json!({})).await;
    let id = created["result"]["taskId"].as_str().expect("an id").to_owned();
    let post = client.request("5", "tasks/get", &format!(r#""taskId":"{id}""#), "");
    let task = client.send(&post.with("mcp-name", &id)).await;
    let expected = format!(r#""result":{{"content":{AFTER},{OPAQUE}}}"#);
    assert!(task.text().contains(&expected), "{}", task.text());
}
