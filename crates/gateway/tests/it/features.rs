//! Prompts, resources, templates and completion: the same for every client, whatever stands behind.

use std::sync::Arc;

use portolan_core::{Action, Decision, Naming, PolicyFn, Subject};
use portolan_fixtures::everything::{Everything, Options};
use portolan_gateway::{GatewayConfig, Upstream};
use serde_json::{Value, json};

use crate::support::{
    client::{Client, Speaks},
    script::{Act, Asked, Script, answer, legacy, modern},
    world::{Eras, Site},
};

async fn everything(eras: Eras) -> Everything {
    let options = Options {
        eras,
        ..Options::default()
    };
    Everything::start(options).await.expect("a server")
}

async fn plain(upstream: &str) -> Site {
    Site::with([("up", Upstream::http(upstream))], |builder| {
        builder.naming(Naming::Plain)
    })
    .await
}

async fn result(client: &Client, method: &str, params: Value) -> Value {
    let answer = whole(client, method, params).await;
    assert!(answer["result"].is_object(), "{method}: {answer}");
    answer["result"].clone()
}

/// The message that answers, past progress.
async fn whole(client: &Client, method: &str, params: Value) -> Value {
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
async fn prompts_resources_and_completion_work_in_every_pairing() {
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
async fn an_unknown_resource_is_told_as_each_era_has_it() {
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
async fn prompts_have_the_prefix_of_their_server_and_resources_their_own_uri() {
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
async fn what_a_policy_denies_is_neither_listed_nor_had() {
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
async fn lists_are_paged_with_cursors_of_their_own() {
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
async fn a_method_of_an_extension_goes_to_the_one_server() {
    let skills = |asked: &Asked| match asked.method() {
        "skills/list" => answer(asked, r#"{"skills":[{"name":"x"}],"future":1.50}"#),
        _ => legacy(asked).unwrap_or_else(|| answer(asked, "{}")),
    };
    let (upstream, other) = (Script::start(skills).await, Script::start(skills).await);
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
async fn a_batch_may_hold_any_method() {
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
async fn a_client_is_told_what_the_servers_have() {
    let upstream = Script::start(|asked| match asked.method() {
        "initialize" => answer(
            asked,
            r#"{"protocolVersion":"2025-11-25","capabilities":{"prompts":{},"resources":{"subscribe":true},"extensions":{"io.modelcontextprotocol/ui":{"a":1},"x/y":{}}},"serverInfo":{"name":"s","version":"1"},"instructions":"be kind"}"#,
        ),
        _ => legacy(asked).unwrap_or_else(|| answer(asked, "{}")),
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_hangs_holds_up_one_list_and_not_the_next() {
    let well = everything(Eras::Both).await;
    let hanging = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/mcp", hanging.local_addr().expect("an address"));
    let mut config = GatewayConfig::default();
    config.timeouts.list = std::time::Duration::from_millis(400);
    let upstreams = [("hangs", Upstream::http(url)), ("well", Upstream::http(well.url()))];
    let site = Site::with(upstreams, |builder| builder.config(config)).await;
    let client = Client::stranger(site.address, Speaks::Modern);
    result(&client, "prompts/list", json!({})).await;
    let since = std::time::Instant::now();
    for _ in 0..5 {
        let listed = result(&client, "prompts/list", json!({})).await;
        assert!(listed["_meta"]["dev.portolan/failure"]["hangs"].is_string(), "{listed}");
    }
    assert!(
        since.elapsed() < std::time::Duration::from_millis(350),
        "{:?}",
        since.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_tool_sounds_the_alarm_and_a_rewritten_one_does_not() {
    use portolan_core::{AuditEvent, AuditSink, DefinitionChange};
    use std::sync::Mutex;

    #[derive(Debug, Default, Clone)]
    struct Heard(Arc<Mutex<Vec<String>>>);
    impl AuditSink for Heard {
        fn record(&self, _: &AuditEvent<'_>) {}
        fn definition_changed(&self, change: &DefinitionChange<'_>) {
            assert_ne!(change.before, change.after);
            self.0
                .lock()
                .expect("no panic")
                .push(format!("{}/{}", change.server, change.tool));
        }
    }

    let definition = Arc::new(Mutex::new(
        r#"{"name":"t","description":"a","inputSchema":{"type":"object"}}"#.to_owned(),
    ));
    let shown = definition.clone();
    let upstream = Script::start(move |asked| match asked.method() {
        "tools/list" => answer(asked, &format!(r#"{{"tools":[{}]}}"#, shown.lock().expect("no panic"))),
        _ => legacy(asked).unwrap_or_else(|| answer(asked, "{}")),
    })
    .await;
    let heard = Heard::default();
    let mut config = GatewayConfig::default();
    config.timeouts.list_age = std::time::Duration::ZERO;
    let site = Site::with([("up", Upstream::http(upstream.url()))], |builder| {
        builder.audit(heard.clone()).config(config)
    })
    .await;
    let client = Client::connect(site.address, Speaks::Modern).await;
    let list = async |times: usize| {
        let until = upstream.asked_for("tools/list") + times;
        while upstream.asked_for("tools/list") < until {
            client.tools().await;
        }
    };
    list(1).await;
    *definition.lock().expect("no panic") =
        r#"{ "inputSchema":{"type":"object"},"description":"a","name":"t"}"#.to_owned();
    list(2).await;
    assert!(heard.0.lock().expect("no panic").is_empty());
    *definition.lock().expect("no panic") =
        r#"{"name":"t","description":"b","inputSchema":{"type":"object"}}"#.to_owned();
    list(3).await;
    assert_eq!(*heard.0.lock().expect("no panic"), ["up/t"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn definitions_beyond_the_limits_are_left_out() {
    let deep = format!(
        r#"{{"name":"deep","inputSchema":{}{}}}"#,
        "[".repeat(70),
        "]".repeat(70)
    );
    let large = format!(
        r#"{{"name":"large","inputSchema":{{"type":"object","x":"{}"}}}}"#,
        "x".repeat(300_000)
    );
    let listed = format!(r#"{{"tools":[{deep},{{"name":"good","inputSchema":{{"type":"object"}}}},{large}]}}"#);
    let upstream = Script::start(move |asked| match asked.method() {
        "tools/list" => answer(asked, &listed),
        _ => legacy(asked).unwrap_or_else(|| answer(asked, "{}")),
    })
    .await;
    let site = plain(&upstream.url()).await;
    let client = Client::connect(site.address, Speaks::Modern).await;
    assert_eq!(client.tools().await, ["good"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn results_of_a_newer_server_are_what_an_older_client_can_read() {
    let upstream = Script::start(|asked| match asked.method() {
        "tools/call" => answer(
            asked,
            r#"{"resultType":"complete","content":[{"type":"resource_link","uri":"a:b","name":"n"}],"structuredContent":[1]}"#,
        ),
        _ => modern(asked).unwrap_or_else(|| answer(asked, "{}")),
    })
    .await;
    let site = plain(&upstream.url()).await;
    let march = Client::connect(site.address, Speaks::March).await;
    assert_eq!(
        march.tool("t", json!({})).await["result"],
        json!({"content": [{"type": "text", "text": "n: a:b"}]})
    );
    let june = Client::connect(site.address, Speaks::June).await;
    assert_eq!(
        june.tool("t", json!({})).await["result"],
        json!({"content": [{"type": "resource_link", "uri": "a:b", "name": "n"}]})
    );
    let modern = Client::connect(site.address, Speaks::Modern).await;
    assert_eq!(
        modern.tool("t", json!({})).await["result"]["structuredContent"],
        json!([1])
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_about_headers_and_versions_are_mended_and_never_seen() {
    use std::sync::atomic::{AtomicUsize, Ordering};
    // First the server wants another header, then it does not speak the version for a moment.
    for code in [-32020, -32022] {
        let asked_for = Arc::new(AtomicUsize::new(0));
        let seen = asked_for.clone();
        let upstream = Script::start(move |asked| match asked.method() {
            "tools/call" if seen.fetch_add(1, Ordering::Relaxed) == 0 => refuse(asked, code),
            "tools/call" => answer(asked, r#"{"resultType":"complete","content":[]}"#),
            _ => modern(asked).unwrap_or_else(|| answer(asked, "{}")),
        })
        .await;
        let site = plain(&upstream.url()).await;
        for speaks in Speaks::ONE_OF_EACH {
            asked_for.store(0, Ordering::Relaxed);
            let client = Client::connect(site.address, speaks).await;
            client.tools().await;
            let before = (upstream.asked_for("tools/list"), upstream.asked_for("server/discover"));
            let answer = client.tool("t", json!({})).await;
            assert_eq!(answer["result"]["content"], json!([]), "{answer}");
            assert_eq!(asked_for.load(Ordering::Relaxed), 2);
            let after = (upstream.asked_for("tools/list"), upstream.asked_for("server/discover"));
            assert!(if code == -32020 {
                after.0 > before.0
            } else {
                after.1 > before.1
            });
        }
    }
    // One that insists is asked twice, and the client hears nothing of codes.
    for code in [-32020, -32022, -32099, -32077] {
        let upstream = Script::start(move |asked| match asked.method() {
            "tools/call" => refuse(asked, code),
            _ => modern(asked).unwrap_or_else(|| answer(asked, "{}")),
        })
        .await;
        let site = plain(&upstream.url()).await;
        for speaks in Speaks::ONE_OF_EACH {
            let client = Client::connect(site.address, speaks).await;
            let answer = client.tool("t", json!({})).await;
            assert_eq!(answer["error"]["code"], -32603, "{answer}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_is_its_callers_alone() {
    let (first, second) = (everything(Eras::Modern).await, everything(Eras::Both).await);
    let upstreams = [("a", Upstream::http(first.url())), ("b", Upstream::http(second.url()))];
    let site = Site::of(upstreams).await;
    let alice = Client::connect(site.address, Speaks::Modern).await;
    alice.tools().await;
    let discovered = result(&alice, "server/discover", json!({})).await;
    assert_eq!(
        discovered["capabilities"]["extensions"],
        json!({"io.modelcontextprotocol/tasks": {}})
    );
    for tool in ["a__slow_compute", "b__slow_compute"] {
        let params = json!({"name": tool, "arguments": {"seconds": 1, "label": "x"}});
        let created = with_tasks(&alice, "tools/call", params).await["result"].clone();
        assert_eq!(created["resultType"], "task", "{created}");
        let id = json!({"taskId": created["taskId"]});
        let task = with_tasks(&alice, "tasks/get", id.clone()).await;
        assert!(task["result"].is_object(), "{task}");
        let task = task["result"].clone();
        assert_eq!(
            (&task["taskId"], &task["resultType"]),
            (&id["taskId"], &json!("complete")),
            "{task}"
        );
        let bob = Client::stranger(site.address, Speaks::Modern).token("bob-token");
        let odd = json!({"taskId": "nobody's"});
        for refused in [
            with_tasks(&bob, "tasks/get", id.clone()).await,
            with_tasks(&alice, "tasks/get", odd).await,
        ] {
            assert_eq!(
                (&refused["error"]["code"], &refused["error"]["message"]),
                (&json!(-32602), &json!("unknown task"))
            );
        }
        // Who does not know tasks has none.
        let post = alice.request("7", "tasks/get", &format!(r#""taskId":{}"#, id["taskId"]), "");
        let refused = alice
            .send(&post.with("mcp-name", id["taskId"].as_str().expect("an id")))
            .await;
        assert_eq!((refused.status(), refused.code()), (400, -32021));
        let ack = with_tasks(&alice, "tasks/cancel", id).await;
        assert_eq!(ack["result"]["resultType"], "complete", "{ack}");
    }
}

/// The answer to a client that knows tasks.
async fn with_tasks(client: &Client, method: &str, params: Value) -> Value {
    let mut params = params;
    let capabilities = json!({"extensions": {"io.modelcontextprotocol/tasks": {}}});
    params["_meta"] = json!({"io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": capabilities});
    let name = params
        .get("taskId")
        .or(params.get("name"))
        .and_then(Value::as_str)
        .expect("a name")
        .to_owned();
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
    let post = client
        .bare(body.to_string())
        .with("mcp-method", method)
        .with("mcp-name", &name);
    let messages = client.begin(&post).await.messages().await.expect("a whole answer");
    serde_json::from_str(messages.last().expect("an answer")).expect("JSON")
}

fn refuse(asked: &Asked, code: i64) -> Act {
    let error = json!({"code": code, "message": "no", "data": {"supported": ["2026-07-28"]}});
    let body = format!(r#"{{"jsonrpc":"2.0","id":{},"error":{error}}}"#, asked.id());
    Act::Answer(400, "application/json", body)
}
