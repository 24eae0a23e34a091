//! Prompts, resources, templates and completion: the same for every client, whatever stands behind.

use portolan_core::{Action, Alias, Decision, Naming, PolicyFn, ServerName, Subject, ToolName};
use portolan_fixtures::everything::{Everything, Options};
use portolan_gateway::{GatewayConfig, Upstream};
use serde_json::{Value, json};

use crate::support::{
    client::{Client, Speaks},
    servers::{Reply, Request, legacy, scripted},
    world::{Eras, Site},
};

pub(crate) async fn everything(eras: Eras) -> Everything {
    let options = Options {
        eras,
        ..Options::default()
    };
    Everything::start(options).await.expect("a server")
}

pub(crate) async fn plain(upstream: &str) -> Site {
    Site::with([("up", Upstream::http(upstream))], |builder| {
        builder.naming(Naming::Plain)
    })
    .await
}

pub(crate) async fn result(client: &Client, method: &str, params: Value) -> Value {
    let answer = whole(client, method, params).await;
    assert!(answer["result"].is_object(), "{method}: {answer}");
    answer["result"].clone()
}

/// The message that answers, past progress.
pub(crate) async fn whole(client: &Client, method: &str, params: Value) -> Value {
    let members: Vec<_> = params.as_object().expect("an object").iter().collect();
    let members: Vec<_> = members
        .iter()
        .map(|(key, value)| format!("{}:{value}", Value::from(key.as_str())))
        .collect();
    let post = client.request(&client.next_id(), method, &members.join(","), "");
    let messages = client.begin(&post).await.messages().await.expect("a whole answer");
    serde_json::from_str(messages.last().expect("an answer")).expect("JSON")
}

const PAIRINGS: [(Speaks, Eras); 6] = [
    (Speaks::March, Eras::Legacy),
    (Speaks::November, Eras::Legacy),
    (Speaks::November, Eras::Modern),
    (Speaks::June, Eras::Modern),
    (Speaks::Modern, Eras::Legacy),
    (Speaks::Modern, Eras::Modern),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_features_in_all_pairings() {
    for (speaks, eras) in PAIRINGS {
        let upstream = everything(eras).await;
        let site = plain(&upstream.url()).await;
        let client = Client::connect(site.address, speaks).await;
        let prompts = result(&client, "prompts/list", json!({})).await;
        assert!(
            prompts["prompts"].as_array().is_some_and(|prompts| prompts.len() >= 4),
            "{prompts}"
        );
        let arguments = json!({"arg1": "a", "arg2": "b"});
        let prompt = json!({"name": "test_prompt_with_arguments", "arguments": arguments});
        let prompt = result(&client, "prompts/get", prompt).await;
        assert!(
            prompt["messages"][0]["content"]["text"]
                .as_str()
                .is_some_and(|text| text.contains("a"))
        );
        let resources = result(&client, "resources/list", json!({})).await;
        let uris: Vec<_> = resources["resources"]
            .as_array()
            .expect("resources")
            .iter()
            .map(|one| &one["uri"])
            .collect();
        assert!(uris.contains(&&json!("test://static-text")) && uris.is_sorted_by_key(|uri| uri.as_str()));
        let templates = result(&client, "resources/templates/list", json!({})).await;
        assert_eq!(
            templates["resourceTemplates"][0]["uriTemplate"],
            "test://template/{id}/data"
        );
        for uri in ["test://static-text", "test://static-binary", "test://template/7/data"] {
            let read = result(&client, "resources/read", json!({"uri": uri})).await;
            assert_eq!(read["contents"][0]["uri"], uri);
            assert_eq!(read.get("resultType").is_some(), speaks.is_modern());
            assert_eq!(read.get("ttlMs").is_some(), speaks.is_modern(), "{read}");
            assert_eq!(read.get("cacheScope").is_some(), speaks.is_modern());
        }
        let reference = json!({"type": "ref/prompt", "name": "test_prompt_with_arguments"});
        let complete = json!({"ref": reference, "argument": {"name": "arg1", "value": "p"}});
        let complete = result(&client, "completion/complete", complete).await;
        assert!(complete["completion"]["values"].is_array());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unknown_resource_error_per_era() {
    for (speaks, eras) in PAIRINGS {
        let (first, second) = (everything(eras).await, everything(eras).await);
        let one = plain(&first.url()).await;
        let upstreams = [("a", Upstream::http(first.url())), ("b", Upstream::http(second.url()))];
        let two = Site::of(upstreams).await;
        let none = Site::of([]).await;
        for site in [&one, &two, &none] {
            let client = Client::connect(site.address, speaks).await;
            let answer = client.ask("resources/read", r#""uri":"nobody://has/this""#).await;
            let code = if speaks.is_modern() { -32602 } else { -32002 };
            assert_eq!((answer.status(), answer.code()), (200, code), "{speaks:?} {answer:?}");
            assert_eq!(answer.json()["error"]["data"]["uri"], "nobody://has/this");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prompts_prefixed_resources_not() {
    let (first, second) = (everything(Eras::Both).await, everything(Eras::Legacy).await);
    let upstreams = [("a", Upstream::http(first.url())), ("b", Upstream::http(second.url()))];
    let site = Site::of(upstreams).await;
    for speaks in Speaks::ONE_OF_EACH {
        let client = Client::connect(site.address, speaks).await;
        let prompts = result(&client, "prompts/list", json!({})).await;
        let names: Vec<_> = prompts["prompts"]
            .as_array()
            .expect("prompts")
            .iter()
            .map(|one| &one["name"])
            .collect();
        assert!(names.contains(&&json!("a__test_simple_prompt")) && names.contains(&&json!("b__test_simple_prompt")));
        result(&client, "prompts/get", json!({"name": "b__test_simple_prompt"})).await;
        let unknown = whole(&client, "prompts/get", json!({"name": "test_simple_prompt"})).await;
        assert_eq!(unknown["error"]["code"], -32602);
        let reference = json!({"type": "ref/prompt", "name": "b__test_prompt_with_arguments"});
        let complete = json!({"ref": reference, "argument": {"name": "arg1", "value": "p"}});
        result(&client, "completion/complete", complete).await;
        // Both have it; it is listed once, and read from the first.
        let resources = result(&client, "resources/list", json!({})).await;
        let text = json!("test://static-text");
        let listed = resources["resources"]
            .as_array()
            .expect("resources")
            .iter()
            .filter(|one| one["uri"] == text);
        assert_eq!(listed.count(), 1);
        result(&client, "resources/read", json!({"uri": text})).await;
        result(&client, "resources/read", json!({"uri": "test://template/9/data"})).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn policy_hides_prompts_and_resources() {
    let upstream = everything(Eras::Both).await;
    let site = Site::with([("up", Upstream::http(upstream.url()))], |builder| {
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
                    Decision::Deny
                } else {
                    Decision::Allow
                }
            }))
    })
    .await;
    for speaks in Speaks::ONE_OF_EACH {
        let mut bob = Client::stranger(site.address, speaks).token("bob-token");
        bob.shake_hands().await;
        let prompts = result(&bob, "prompts/list", json!({})).await.to_string();
        assert!(!prompts.contains("test_simple_prompt") && prompts.contains("test_prompt_with_arguments"));
        let resources = result(&bob, "resources/list", json!({})).await.to_string();
        assert!(!resources.contains("test://static") && resources.contains("test://watched"));
        let denied = whole(&bob, "prompts/get", json!({"name": "test_simple_prompt"})).await;
        assert_eq!(denied["error"]["message"], "unknown prompt: test_simple_prompt");
        let denied = whole(&bob, "resources/read", json!({"uri": "test://static-text"})).await;
        assert_eq!(denied["error"]["data"]["uri"], "test://static-text");
        let alice = Client::connect(site.address, speaks).await;
        result(&alice, "resources/read", json!({"uri": "test://static-text"})).await;
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
        let site = Site::with(upstreams, |builder| {
            builder
                .naming(naming)
                .alias(alias("hello", "test_simple_text"))
                // What another server has under this name is hidden by it.
                .alias(alias("test_error_handling", "test_image_content"))
                .alias(alias("ask", "test_simple_prompt"))
        })
        .await;
        for speaks in Speaks::ONE_OF_EACH {
            let client = Client::connect(site.address, speaks).await;
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
            result(&client, "prompts/get", json!({"name": "ask"})).await;
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
    let mut config = GatewayConfig::default();
    config.limits.page = 2;
    let site = Site::with([("up", Upstream::http(upstream.url()))], |builder| {
        builder.naming(Naming::Plain).config(config)
    })
    .await;
    let client = Client::connect(site.address, Speaks::Modern).await;
    let first = result(&client, "prompts/list", json!({})).await;
    let cursor = first["nextCursor"].clone();
    assert_eq!(first["prompts"].as_array().map(Vec::len), Some(2));
    let second = result(&client, "prompts/list", json!({"cursor": cursor})).await;
    assert_ne!(first["prompts"], second["prompts"]);
    // Of one list it says nothing about another.
    let refused = whole(&client, "resources/list", json!({"cursor": cursor})).await;
    assert_eq!(refused["error"]["code"], -32602);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn extension_method_needs_single_server() {
    let skills = |request: &Request| match request.method() {
        "skills/list" => Reply::result(request, r#"{"skills":[{"name":"x"}],"future":1.50}"#),
        _ => legacy(request).unwrap_or_else(|| Reply::result(request, "{}")),
    };
    let (upstream, other) = (scripted(skills).await, scripted(skills).await);
    let one = plain(&upstream.url()).await;
    let upstreams = [
        ("a", Upstream::http(upstream.url())),
        ("b", Upstream::http(other.url())),
    ];
    let two = Site::with(upstreams, |builder| builder.naming(Naming::Plain)).await;
    let renamed = Site::of([("up", Upstream::http(upstream.url()))]).await;
    for speaks in Speaks::ONE_OF_EACH {
        let client = Client::connect(one.address, speaks).await;
        let listed = client.ask("skills/list", "").await;
        assert!(
            listed.text().contains(r#""skills":[{"name":"x"}],"future":1.50"#),
            "{listed:?}"
        );
        for site in [&two, &renamed] {
            let client = Client::connect(site.address, speaks).await;
            let unknown = client.ask("skills/list", "").await;
            let status = if speaks.is_modern() { 404 } else { 200 };
            assert_eq!((unknown.status(), unknown.code()), (status, -32601));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batch_accepts_any_method() {
    let upstream = everything(Eras::Both).await;
    let site = plain(&upstream.url()).await;
    let client = Client::connect(site.address, Speaks::March).await;
    let body = r#"[{"jsonrpc":"2.0","id":1,"method":"prompts/get","params":{"name":"test_simple_prompt"}},
        {"jsonrpc":"2.0","id":2,"method":"resources/read","params":{"uri":"test://static-text"}},
        {"jsonrpc":"2.0","id":3,"method":"resources/list"},
        {"jsonrpc":"2.0","id":4,"method":"completion/complete","params":{"ref":{"type":"ref/prompt","name":"nope"},"argument":{"name":"a","value":""}}},
        {"jsonrpc":"2.0","id":5,"method":"ping"}]"#;
    let answers = client.send(&client.bare(body)).await.json();
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
    let site = plain(&upstream.url()).await;
    let client = Client::connect(site.address, Speaks::November).await;
    client.tools().await;
    let told = client.initialize("2025-11-25").await.json()["result"].clone();
    let expected = json!({"tools": {"listChanged": true}, "prompts": {"listChanged": true},
        "resources": {"listChanged": true, "subscribe": true}, "extensions": {"io.modelcontextprotocol/ui": {"a": 1}}});
    assert_eq!(told["capabilities"], expected);
    assert_eq!(told["instructions"], "be kind");
}
