//! Prompts, resources, templates and completion: the same for every client, whatever stands behind.

use portolan_core::{Action, Alias, Decision, Naming, PolicyFn, ServerName, Subject, ToolName};
use portolan_gateway::Upstream;
use serde_json::json;

use crate::support::{
    client::ClientVersion,
    gateway::TestGateway,
    servers::{Reply, Request, legacy, scripted},
    upstreams::{Eras, everything},
};

const PAIRINGS: [(ClientVersion, Eras); 6] = [
    (ClientVersion::V2025_03_26, Eras::Legacy),
    (ClientVersion::V2025_11_25, Eras::Legacy),
    (ClientVersion::V2025_11_25, Eras::Modern),
    (ClientVersion::V2025_06_18, Eras::Modern),
    (ClientVersion::V2026_07_28, Eras::Legacy),
    (ClientVersion::V2026_07_28, Eras::Modern),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_features_in_all_pairings() {
    for (version, eras) in PAIRINGS {
        let upstream = everything(eras).await;
        let gateway = TestGateway::with_plain_names(&upstream.url()).await;
        let client = gateway.connect(version).await;
        let prompts = client.result_of("prompts/list", json!({})).await;
        assert!(
            prompts["prompts"].as_array().is_some_and(|prompts| prompts.len() >= 4),
            "{prompts}"
        );
        let arguments = json!({"arg1": "a", "arg2": "b"});
        let prompt = json!({"name": "test_prompt_with_arguments", "arguments": arguments});
        let prompt = client.result_of("prompts/get", prompt).await;
        assert!(
            prompt["messages"][0]["content"]["text"]
                .as_str()
                .is_some_and(|text| text.contains("a"))
        );
        let resources = client.result_of("resources/list", json!({})).await;
        let uris: Vec<_> = resources["resources"]
            .as_array()
            .expect("resources")
            .iter()
            .map(|one| &one["uri"])
            .collect();
        assert!(uris.contains(&&json!("test://static-text")) && uris.is_sorted_by_key(|uri| uri.as_str()));
        let templates = client.result_of("resources/templates/list", json!({})).await;
        assert_eq!(
            templates["resourceTemplates"][0]["uriTemplate"],
            "test://template/{id}/data"
        );
        for uri in ["test://static-text", "test://static-binary", "test://template/7/data"] {
            let read = client.result_of("resources/read", json!({"uri": uri})).await;
            assert_eq!(read["contents"][0]["uri"], uri);
            assert_eq!(read.get("resultType").is_some(), version.is_modern());
            assert_eq!(read.get("ttlMs").is_some(), version.is_modern(), "{read}");
            assert_eq!(read.get("cacheScope").is_some(), version.is_modern());
        }
        let reference = json!({"type": "ref/prompt", "name": "test_prompt_with_arguments"});
        let complete = json!({"ref": reference, "argument": {"name": "arg1", "value": "p"}});
        let complete = client.result_of("completion/complete", complete).await;
        assert!(complete["completion"]["values"].is_array());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unknown_resource_error_per_era() {
    for (version, eras) in PAIRINGS {
        let (first, second) = (everything(eras).await, everything(eras).await);
        let one = TestGateway::with_plain_names(&first.url()).await;
        let upstreams = [("a", Upstream::http(first.url())), ("b", Upstream::http(second.url()))];
        let two = TestGateway::builder().upstreams(upstreams).start().await;
        let none = TestGateway::builder().start().await;
        for gateway in [&one, &two, &none] {
            let client = gateway.connect(version).await;
            let answer = client
                .call_method("resources/read", r#""uri":"nobody://has/this""#)
                .await;
            let code = if version.is_modern() { -32602 } else { -32002 };
            assert_eq!((answer.status(), answer.code()), (200, code), "{version:?} {answer:?}");
            assert_eq!(answer.json()["error"]["data"]["uri"], "nobody://has/this");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prompts_prefixed_resources_not() {
    let (first, second) = (everything(Eras::Both).await, everything(Eras::Legacy).await);
    let upstreams = [("a", Upstream::http(first.url())), ("b", Upstream::http(second.url()))];
    let gateway = TestGateway::builder().upstreams(upstreams).start().await;
    for version in ClientVersion::EACH_ERA {
        let client = gateway.connect(version).await;
        let prompts = client.result_of("prompts/list", json!({})).await;
        let names: Vec<_> = prompts["prompts"]
            .as_array()
            .expect("prompts")
            .iter()
            .map(|one| &one["name"])
            .collect();
        assert!(names.contains(&&json!("a__test_simple_prompt")) && names.contains(&&json!("b__test_simple_prompt")));
        client
            .result_of("prompts/get", json!({"name": "b__test_simple_prompt"}))
            .await;
        let unknown = client
            .response_to("prompts/get", json!({"name": "test_simple_prompt"}))
            .await;
        assert_eq!(unknown["error"]["code"], -32602);
        let reference = json!({"type": "ref/prompt", "name": "b__test_prompt_with_arguments"});
        let complete = json!({"ref": reference, "argument": {"name": "arg1", "value": "p"}});
        client.result_of("completion/complete", complete).await;
        // Both have it; it is listed once, and read from the first.
        let resources = client.result_of("resources/list", json!({})).await;
        let text = json!("test://static-text");
        let listed = resources["resources"]
            .as_array()
            .expect("resources")
            .iter()
            .filter(|one| one["uri"] == text);
        assert_eq!(listed.count(), 1);
        client.result_of("resources/read", json!({"uri": text})).await;
        client
            .result_of("resources/read", json!({"uri": "test://template/9/data"}))
            .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn policy_hides_prompts_and_resources() {
    let upstream = everything(Eras::Both).await;
    let gateway = TestGateway::builder()
        .server("up", upstream.url())
        .settings(|builder| {
            builder
                .naming(Naming::Plain)
                .policy(PolicyFn(|caller: &portolan_core::Caller, action: &Action<'_>| {
                    let is_alice = matches!(&caller.subject, Subject::User(user) if user.as_str() == "alice");
                    let secret = match action {
                        Action::GetPrompt(used) => used.prompt == "test_simple_prompt",
                        Action::ReadResource(used) => used.uri.starts_with("test://static"),
                        Action::UseMethod(_) => true,
                        _ => false,
                    };
                    if secret && !is_alice {
                        Decision::deny()
                    } else {
                        Decision::Allow
                    }
                }))
        })
        .start()
        .await;
    for version in ClientVersion::EACH_ERA {
        let mut bob = gateway.client(version).token("bob-token");
        bob.handshake().await;
        let prompts = bob.result_of("prompts/list", json!({})).await.to_string();
        assert!(!prompts.contains("test_simple_prompt") && prompts.contains("test_prompt_with_arguments"));
        let resources = bob.result_of("resources/list", json!({})).await.to_string();
        assert!(!resources.contains("test://static") && resources.contains("test://watched"));
        let denied = bob
            .response_to("prompts/get", json!({"name": "test_simple_prompt"}))
            .await;
        assert_eq!(denied["error"]["message"], "unknown prompt: test_simple_prompt");
        let denied = bob
            .response_to("resources/read", json!({"uri": "test://static-text"}))
            .await;
        assert_eq!(denied["error"]["data"]["uri"], "test://static-text");
        let alice = gateway.connect(version).await;
        alice
            .result_of("resources/read", json!({"uri": "test://static-text"}))
            .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn alias_replaces_original_name() {
    let (first, second) = (everything(Eras::Both).await, everything(Eras::Both).await);
    let alias = |name: &str, own: &str| {
        let name_of = |name: &str| ToolName::parse(name).expect("a name");
        Alias::new(name_of(name), ServerName::parse("b").expect("a name"), name_of(own))
    };
    for naming in [Naming::Prefix, Naming::Plain] {
        let upstreams = [("a", Upstream::http(first.url())), ("b", Upstream::http(second.url()))];
        let gateway = TestGateway::builder()
            .upstreams(upstreams)
            .settings(|builder| {
                builder
                    .naming(naming)
                    .alias(alias("hello", "test_simple_text"))
                    // What another server has under this name is hidden by it.
                    .alias(alias("test_error_handling", "test_image_content"))
                    .alias(alias("ask", "test_simple_prompt"))
            })
            .start()
            .await;
        for version in ClientVersion::EACH_ERA {
            let client = gateway.connect(version).await;
            let tools = client.tools().await;
            for name in ["hello", "test_error_handling"] {
                assert_eq!(tools.iter().filter(|tool| *tool == name).count(), 1);
            }
            assert!(!tools.contains(&"b__test_simple_text".to_owned()));
            assert!(client.text("hello", json!({})).await.contains("simple text"));
            let image = client.tool("test_error_handling", json!({})).await;
            assert_eq!(image["result"]["content"][0]["type"], "image");
            let hidden = client.tool("b__test_simple_text", json!({})).await;
            assert_eq!(hidden["error"]["code"], -32602);
            client.result_of("prompts/get", json!({"name": "ask"})).await;
            // The other server's is still what it was.
            let other = if naming == Naming::Plain {
                "test_simple_text"
            } else {
                "a__test_simple_text"
            };
            assert!(client.text(other, json!({})).await.contains("simple text"));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cursors_are_per_list() {
    let upstream = everything(Eras::Both).await;
    let gateway = TestGateway::builder()
        .server("up", upstream.url())
        .config(|config| config.limits.page = 2)
        .settings(|builder| builder.naming(Naming::Plain))
        .start()
        .await;
    let client = gateway.connect(ClientVersion::V2026_07_28).await;
    let first = client.result_of("prompts/list", json!({})).await;
    let cursor = first["nextCursor"].clone();
    assert_eq!(first["prompts"].as_array().map(Vec::len), Some(2));
    let second = client.result_of("prompts/list", json!({"cursor": cursor})).await;
    assert_ne!(first["prompts"], second["prompts"]);
    // Of one list it says nothing about another.
    let refused = client.response_to("resources/list", json!({"cursor": cursor})).await;
    assert_eq!(refused["error"]["code"], -32602);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn extension_method_needs_single_server() {
    let skills = |request: &Request| match request.method() {
        "skills/list" => Reply::result(request, r#"{"skills":[{"name":"x"}],"future":1.50}"#),
        _ => legacy(request).unwrap_or_else(|| Reply::result(request, "{}")),
    };
    let (upstream, other) = (scripted(skills).await, scripted(skills).await);
    let one = TestGateway::with_plain_names(&upstream.url()).await;
    let upstreams = [
        ("a", Upstream::http(upstream.url())),
        ("b", Upstream::http(other.url())),
    ];
    let two = TestGateway::builder()
        .upstreams(upstreams)
        .settings(|builder| builder.naming(Naming::Plain))
        .start()
        .await;
    let renamed = TestGateway::with_server(upstream.url()).await;
    for version in ClientVersion::EACH_ERA {
        let client = one.connect(version).await;
        let listed = client.call_method("skills/list", "").await;
        assert!(
            listed.text().contains(r#""skills":[{"name":"x"}],"future":1.50"#),
            "{listed:?}"
        );
        for gateway in [&two, &renamed] {
            let client = gateway.connect(version).await;
            let unknown = client.call_method("skills/list", "").await;
            let status = if version.is_modern() { 404 } else { 200 };
            assert_eq!((unknown.status(), unknown.code()), (status, -32601));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batch_accepts_any_method() {
    let upstream = everything(Eras::Both).await;
    let gateway = TestGateway::with_plain_names(&upstream.url()).await;
    let client = gateway.connect(ClientVersion::V2025_03_26).await;
    let body = r#"[{"jsonrpc":"2.0","id":1,"method":"prompts/get","params":{"name":"test_simple_prompt"}},
        {"jsonrpc":"2.0","id":2,"method":"resources/read","params":{"uri":"test://static-text"}},
        {"jsonrpc":"2.0","id":3,"method":"resources/list"},
        {"jsonrpc":"2.0","id":4,"method":"completion/complete","params":{"ref":{"type":"ref/prompt","name":"nope"},"argument":{"name":"a","value":""}}},
        {"jsonrpc":"2.0","id":5,"method":"ping"}]"#;
    let answers = client.send(&client.post(body)).await.json();
    let answers = answers.as_array().expect("an array");
    assert_eq!(answers.len(), 5, "{answers:?}");
    for answer in answers {
        let is_error = answer["id"] == 4;
        assert_eq!(answer.get("error").is_some(), is_error, "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn capabilities_follow_servers() {
    let upstream = scripted(|request| match request.method() {
        "initialize" => Reply::result(
            request,
            r#"{"protocolVersion":"2025-11-25","capabilities":{"prompts":{},"resources":{"subscribe":true},"extensions":{"io.modelcontextprotocol/ui":{"a":1},"x/y":{}}},"serverInfo":{"name":"s","version":"1"},"instructions":"be kind"}"#,
        ),
        _ => legacy(request).unwrap_or_else(|| Reply::result(request, "{}")),
    })
    .await;
    let gateway = TestGateway::with_plain_names(&upstream.url()).await;
    let client = gateway.connect(ClientVersion::V2025_11_25).await;
    client.tools().await;
    let told = client.initialize("2025-11-25").await.json()["result"].clone();
    let expected = json!({"tools": {"listChanged": true}, "prompts": {"listChanged": true},
        "resources": {"listChanged": true, "subscribe": true}, "extensions": {"io.modelcontextprotocol/ui": {"a": 1}},
        "tasks": {"list": {}, "cancel": {}, "requests": {"tools": {"call": {}}}}});
    assert_eq!(told["capabilities"], expected);
    assert_eq!(told["instructions"], "be kind");
}
