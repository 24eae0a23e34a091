//! Lists are merged, named and hold only what the caller may use.

mod availability;
mod definitions;
mod pages;

use std::collections::BTreeSet;

use portolan_core::{Action, Caller, Decision, Naming, PolicyFn, ServerRequestPolicy, Subject};
use portolan_gateway::Upstream;
use serde_json::{Value, json};

use crate::support::{
    client::ClientVersion,
    gateway::TestGateway,
    upstreams::{Eras, http},
};

fn tool(name: &str) -> Value {
    json!({"name": name, "inputSchema": {"type": "object"}})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_are_deterministic() {
    let servers = [
        http(Eras::Both).await,
        http(Eras::Legacy).await,
        http(Eras::Modern).await,
    ];
    servers[1].behave(|behaviour| behaviour.page_size = Some(3));
    let upstream = |at: usize| Upstream::http(servers[at].url());
    let first = TestGateway::builder()
        .upstream("b", upstream(0))
        .upstream("a", upstream(1))
        .upstream("c", upstream(2))
        .start()
        .await;
    let second = TestGateway::builder()
        .upstream("c", upstream(2))
        .upstream("a", upstream(1))
        .upstream("b", upstream(0))
        .start()
        .await;
    for version in ClientVersion::EACH_ERA {
        let mut texts = BTreeSet::new();
        for gateway in [&first, &first, &second] {
            let client = gateway.connect(version).await;
            let answer = client.send(&client.request("1", "tools/list", "", "")).await;
            assert_eq!(answer.json()["result"]["tools"].as_array().map(Vec::len), Some(24));
            texts.insert(answer.text().to_owned());
        }
        assert_eq!(texts.len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn listing_declares_allowed_requests() {
    let mut nothing = ServerRequestPolicy::default();
    nothing.elicitation = false;
    let people = json!({"form": {}, "url": {}});
    for (asks, told) in [
        (nothing, json!({})),
        (ServerRequestPolicy::default(), json!({"elicitation": people})),
        (
            ServerRequestPolicy::ALL,
            json!({"elicitation": people, "sampling": {}, "roots": {}}),
        ),
    ] {
        for eras in [Eras::Legacy, Eras::Modern] {
            let upstream = http(eras).await;
            let gateway = TestGateway::builder()
                .upstream("up", Upstream::http(upstream.url()).server_requests(asks))
                .start()
                .await;
            // Who lists can be asked nothing, which is no matter: the list is for all.
            let client = gateway.connect(ClientVersion::V2026_07_28).await;
            client.call_method("tools/list", "").await;
            let (method, pointer) = match eras {
                Eras::Legacy => ("initialize", "/params/capabilities"),
                _ => (
                    "tools/list",
                    "/params/_meta/io.modelcontextprotocol~1clientCapabilities",
                ),
            };
            let requests = upstream.requests_of(method);
            assert!(!requests.is_empty());
            for request in requests {
                assert_eq!(request.json().pointer(pointer), Some(&told), "{eras:?}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn definitions_pass_unchanged() {
    let upstream = http(Eras::Both).await;
    let odd = json!({"name": "odd", "title": "T", "icons": [{"src": "x"}], "inputSchema": {"type": "object", "x": 1.5},
        "outputSchema": {"type": "array"}, "annotations": {"readOnlyHint": true, "future": []}, "_meta": {"a/b": null}, "unknown": [{}]});
    upstream.behave(|behaviour| behaviour.extra_tools = vec![odd.clone()]);
    let gateway = TestGateway::with_server(upstream.url()).await;
    let plain = TestGateway::builder()
        .server("up", upstream.url())
        .settings(|builder| builder.naming(Naming::Plain))
        .start()
        .await;
    for version in ClientVersion::EACH_ERA {
        for (gateway, name) in [(&gateway, "up__odd"), (&plain, "odd")] {
            let client = gateway.connect(version).await;
            let list = client.call_method("tools/list", "").await.json();
            let tools = list["result"]["tools"].as_array().expect("tools").clone();
            let mut expected = odd.clone();
            expected["name"] = name.into();
            if !version.is_modern() {
                // Until 2026-07-28 it must be the schema of an object.
                expected.as_object_mut().expect("an object").remove("outputSchema");
            }
            assert!(tools.contains(&expected), "{tools:?}");
            assert_eq!(
                client.tool(name, json!({})).await["result"]["content"][0]["text"],
                "odd"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invalid_definitions_are_omitted() {
    let upstream = http(Eras::Both).await;
    let annotated = |at: Value| json!({"name": "hidden", "inputSchema": {"type": "object", "properties": {"a": at}}});
    upstream.behave(|behaviour| {
        behaviour.extra_tools = vec![
            json!({"inputSchema": {}}),
            json!(5),
            json!({"name": ""}),
            json!({"name": 7}),
            json!({"name": "a\u{0}b"}),
            annotated(json!({"type": "object", "x-mcp-header": "A"})),
            annotated(json!({"type": "string", "x-mcp-header": "no token"})),
            json!({"name": "echo", "description": "a second one of this name"}),
            tool("good"),
        ];
    });
    let gateway = TestGateway::with_server(upstream.url()).await;
    let client = gateway.connect(ClientVersion::V2026_07_28).await;
    let tools = client.tools().await;
    assert_eq!(tools.len(), 9, "{tools:?}");
    assert!(tools.contains(&"up__good".to_owned()));
    let list = client.call_method("tools/list", "").await.json();
    assert!(!list.to_string().contains("a second one"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_names_are_shortened() {
    let upstream = http(Eras::Both).await;
    let names: Vec<String> = [21, 22, 23, 60, 100, 256]
        .iter()
        .map(|length| "n".repeat(*length))
        .chain([
            "n".repeat(255) + "m",
            "a__b".into(),
            "__".into(),
            "ä".repeat(60),
            "with space".into(),
        ])
        .collect();
    upstream.behave(|behaviour| behaviour.extra_tools = names.iter().map(|name| tool(name)).collect());
    let server = "s".repeat(40);
    let gateway = TestGateway::builder()
        .server(server.as_str(), upstream.url())
        .start()
        .await;
    for version in ClientVersion::EACH_ERA {
        let client = gateway.connect(version).await;
        let tools: BTreeSet<_> = client.tools().await.into_iter().collect();
        assert_eq!(tools.len(), 8 + names.len());
        let mut reached = BTreeSet::new();
        for tool in &tools {
            assert!(tool.len() <= 64, "{tool}");
            let post = client.call("1", tool, r#"{"text":"x"}"#);
            // Some of these names cannot stand in a header as they are.
            let post = if version.is_modern() {
                post.with("mcp-name", &base64_name(tool))
            } else {
                post
            };
            upstream.clear_requests();
            let answer = client.send(&post).await;
            assert!(answer.json()["result"].is_object(), "{tool}: {answer:?}");
            reached.insert(
                upstream.requests_of("tools/call")[0].json()["params"]["name"]
                    .as_str()
                    .expect("a name")
                    .to_owned(),
            );
        }
        assert!(names.iter().all(|name| reached.contains(name)));
        assert_eq!(reached.len(), tools.len());
    }
}

fn base64_name(name: &str) -> String {
    use base64::Engine;
    format!("=?base64?{}?=", base64::engine::general_purpose::STANDARD.encode(name))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn first_server_wins_plain_name() {
    let (a, b) = (http(Eras::Both).await, http(Eras::Both).await);
    b.behave(|behaviour| behaviour.extra_tools = vec![tool("only-b")]);
    let upstreams = [("beta", Upstream::http(b.url())), ("alpha", Upstream::http(a.url()))];
    let gateway = TestGateway::builder()
        .upstreams(upstreams)
        .settings(|builder| builder.naming(Naming::Plain))
        .start()
        .await;
    let client = gateway.connect(ClientVersion::V2026_07_28).await;
    let tools = client.tools().await;
    assert_eq!(tools.len(), 9);
    assert_eq!(tools.iter().collect::<BTreeSet<_>>().len(), 9);
    client.text("count", json!({"key": "k"})).await;
    assert_eq!((a.count("k"), b.count("k")), (1, 0));
    assert_eq!(client.text("only-b", json!({})).await, "only-b");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn denied_tool_looks_unknown() {
    let upstream = http(Eras::Both).await;
    let policy = PolicyFn(|caller: &Caller, action: &Action<'_>| {
        let is_alice = matches!(&caller.subject, Subject::User(user) if user.as_str() == "alice");
        if is_alice || action.tool().is_none_or(|tool| tool.name().as_str() != "count") {
            Decision::Allow
        } else {
            Decision::deny()
        }
    });
    let gateway = TestGateway::builder()
        .server("up", upstream.url())
        .settings(|builder| builder.policy(policy))
        .start()
        .await;
    for version in ClientVersion::EACH_ERA {
        let alice = gateway.connect(version).await;
        let mut bob = gateway.client(version).token("bob-token");
        bob.handshake().await;
        assert_eq!((alice.tools().await.len(), bob.tools().await.len()), (8, 7));
        assert!(!bob.tools().await.contains(&"up__count".to_owned()));
        let denied = bob.send(&bob.call("1", "up__count", r#"{"key":"k"}"#)).await;
        let unknown = bob.send(&bob.call("1", "up__conut", r#"{"key":"k"}"#)).await;
        assert_eq!(denied.text().replace("count", "conut"), unknown.text());
        assert_eq!((denied.status(), denied.code()), (unknown.status(), -32602));
        assert_eq!(
            alice.tool("up__count", json!({"key": "k"})).await["result"].get("isError"),
            None
        );
    }
    assert_eq!(upstream.count("k"), 2);
}

#[tokio::test]
async fn empty_gateway_lists_nothing() {
    let gateway = TestGateway::builder()
        .settings(|builder| builder.instructions("nothing here"))
        .start()
        .await;
    for version in ClientVersion::ALL {
        let client = gateway.connect(version).await;
        assert_eq!(client.tools().await, [""; 0]);
    }
    let client = gateway.client(ClientVersion::V2026_07_28);
    assert_eq!(
        client.call_method("server/discover", "").await.json()["result"]["instructions"],
        "nothing here"
    );
    assert_eq!(
        client.initialize("2025-11-25").await.json()["result"]["instructions"],
        "nothing here"
    );
}

#[tokio::test]
async fn accept_order_selects_event_stream() {
    let fixture = http(Eras::Both).await;
    let gateway = TestGateway::with_server(fixture.url()).await;
    for version in ClientVersion::EACH_ERA {
        let client = gateway.connect(version).await;
        let post = client.request("7", "tools/list", "", "");
        let answer = client
            .send(
                &post
                    .without("accept")
                    .with("accept", "text/event-stream, application/json"),
            )
            .await;
        assert_eq!(answer.head.get("content-type").expect("a type"), "text/event-stream");
        let text = String::from_utf8(answer.body.clone()).expect("UTF-8");
        assert!(text.contains("data: {") && text.contains(r#""id":7"#), "{text}");
    }
}
