//! The catalogue of servers: lists that hang, change or are too large, and results of another protocol version.

use std::sync::Arc;

use portolan_gateway::Upstream;
use serde_json::json;

use crate::support::{
    client::ClientVersion,
    gateway::TestGateway,
    servers::{Reply, Request, ScriptedServer, legacy, modern, scripted},
    upstreams::{Eras, everything},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hanging_server_delays_one_list() {
    let well = everything(Eras::Both).await;
    let hanging = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/mcp", hanging.local_addr().expect("an address"));
    let upstreams = [("hangs", Upstream::http(url)), ("well", Upstream::http(well.url()))];
    let gateway = TestGateway::builder()
        .upstreams(upstreams)
        .config(|config| config.timeouts.list = std::time::Duration::from_millis(400))
        .start()
        .await;
    let client = gateway.client(ClientVersion::V2026_07_28);
    client.result_of("prompts/list", json!({})).await;
    let since = std::time::Instant::now();
    for _ in 0..5 {
        let listed = client.result_of("prompts/list", json!({})).await;
        assert!(listed["_meta"]["dev.portolan/failure"]["hangs"].is_string(), "{listed}");
    }
    assert!(
        since.elapsed() < std::time::Duration::from_millis(350),
        "{:?}",
        since.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changed_definition_is_audited() {
    use portolan_core::{AuditEvent, AuditSink, DefinitionChange};
    use std::sync::Mutex;

    #[derive(Debug, Default, Clone)]
    struct ChangeLog(Arc<Mutex<Vec<String>>>);
    impl AuditSink for ChangeLog {
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
    let upstream = scripted(move |request| match request.method() {
        "tools/list" => Reply::result(request, format!(r#"{{"tools":[{}]}}"#, shown.lock().expect("no panic"))),
        _ => legacy(request).unwrap_or_else(|| Reply::result(request, "{}")),
    })
    .await;
    let changes = ChangeLog::default();
    let gateway = TestGateway::builder()
        .server("up", upstream.url())
        .config(|config| config.timeouts.list_age = std::time::Duration::ZERO)
        .settings(|builder| builder.audit(changes.clone()))
        .start()
        .await;
    let client = gateway.connect(ClientVersion::V2026_07_28).await;
    let list = async |times: usize| {
        let until = upstream.count_of("tools/list") + times;
        while upstream.count_of("tools/list") < until {
            client.tools().await;
        }
    };
    list(1).await;
    *definition.lock().expect("no panic") =
        r#"{ "inputSchema":{"type":"object"},"description":"a","name":"t"}"#.to_owned();
    list(2).await;
    assert!(changes.0.lock().expect("no panic").is_empty());
    *definition.lock().expect("no panic") =
        r#"{"name":"t","description":"b","inputSchema":{"type":"object"}}"#.to_owned();
    list(3).await;
    assert_eq!(*changes.0.lock().expect("no panic"), ["up/t"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn oversized_definitions_are_omitted() {
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
    let upstream = scripted(move |request| match request.method() {
        "tools/list" => Reply::result(request, &listed),
        _ => legacy(request).unwrap_or_else(|| Reply::result(request, "{}")),
    })
    .await;
    let gateway = TestGateway::with_plain_names(&upstream.url()).await;
    let client = gateway.connect(ClientVersion::V2026_07_28).await;
    assert_eq!(client.tools().await, ["good"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn results_are_downgraded() {
    let upstream = scripted(|request| match request.method() {
        "tools/call" => Reply::result(
            request,
            r#"{"resultType":"complete","content":[{"type":"resource_link","uri":"a:b","name":"n"}],"structuredContent":[1]}"#,
        ),
        _ => modern(request).unwrap_or_else(|| Reply::result(request, "{}")),
    })
    .await;
    let gateway = TestGateway::with_plain_names(&upstream.url()).await;
    let march = gateway.connect(ClientVersion::V2025_03_26).await;
    assert_eq!(
        march.tool("t", json!({})).await["result"],
        json!({"content": [{"type": "text", "text": "n: a:b"}]})
    );
    let june = gateway.connect(ClientVersion::V2025_06_18).await;
    assert_eq!(
        june.tool("t", json!({})).await["result"],
        json!({"content": [{"type": "resource_link", "uri": "a:b", "name": "n"}]})
    );
    let modern = gateway.connect(ClientVersion::V2026_07_28).await;
    assert_eq!(
        modern.tool("t", json!({})).await["result"]["structuredContent"],
        json!([1])
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn header_and_version_errors_retried() {
    use std::sync::atomic::{AtomicUsize, Ordering};
    // First the server wants another header, then it does not speak the version for a moment.
    for code in [-32020, -32022] {
        let asked_for = Arc::new(AtomicUsize::new(0));
        let seen = asked_for.clone();
        let upstream = scripted(move |request| match request.method() {
            "tools/call" if seen.fetch_add(1, Ordering::Relaxed) == 0 => refuse(request, code),
            "tools/call" => Reply::result(request, r#"{"resultType":"complete","content":[]}"#),
            _ => modern(request).unwrap_or_else(|| Reply::result(request, "{}")),
        })
        .await;
        let gateway = TestGateway::with_plain_names(&upstream.url()).await;
        for version in ClientVersion::EACH_ERA {
            asked_for.store(0, Ordering::Relaxed);
            let client = gateway.connect(version).await;
            client.tools().await;
            let before = (upstream.count_of("tools/list"), upstream.count_of("server/discover"));
            let answer = client.tool("t", json!({})).await;
            assert_eq!(answer["result"]["content"], json!([]), "{answer}");
            assert_eq!(asked_for.load(Ordering::Relaxed), 2);
            let after = (upstream.count_of("tools/list"), upstream.count_of("server/discover"));
            assert!(if code == -32020 {
                after.0 > before.0
            } else {
                after.1 > before.1
            });
        }
    }
    // One that insists is asked twice, and the client hears nothing of codes.
    for code in [-32020, -32022, -32099, -32077] {
        let upstream = scripted(move |request| match request.method() {
            "tools/call" => refuse(request, code),
            _ => modern(request).unwrap_or_else(|| Reply::result(request, "{}")),
        })
        .await;
        let gateway = TestGateway::with_plain_names(&upstream.url()).await;
        for version in ClientVersion::EACH_ERA {
            let client = gateway.connect(version).await;
            let answer = client.tool("t", json!({})).await;
            assert_eq!(answer["error"]["code"], -32603, "{answer}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reordered_definition_is_no_change() {
    use portolan_core::{AuditEvent, AuditSink, DefinitionChange};
    use std::sync::Mutex;

    #[derive(Debug, Default, Clone)]
    struct Restarts(Arc<Mutex<Vec<bool>>>);
    impl AuditSink for Restarts {
        fn record(&self, _: &AuditEvent<'_>) {}
        fn definition_changed(&self, change: &DefinitionChange<'_>) {
            self.0.lock().expect("no panic").push(change.restarted);
        }
    }

    let description = Arc::new(Mutex::new("one of: a, b, c"));
    let shown = description.clone();
    let upstream = scripted(move |request| match request.method() {
        "tools/list" => {
            let tool = json!({"name": "t", "description": *shown.lock().expect("no panic"), "inputSchema": {"type": "object"}});
            Reply::result(request, json!({ "tools": [tool] }))
        }
        "tools/call" => Reply::result(request, json!({"content": []})),
        _ if request.verb == "GET" => {
            let (events, reply) = Reply::events();
            std::mem::forget(events);
            reply
        }
        _ => legacy(request).unwrap_or_else(|| Reply::result(request, "{}")),
    })
    .await;
    let restarts = Restarts::default();
    let gateway = TestGateway::builder()
        .server("up", upstream.url())
        .config(|config| config.timeouts.list_age = std::time::Duration::ZERO)
        .settings(|builder| builder.audit(restarts.clone()))
        .start()
        .await;
    let client = gateway.connect(ClientVersion::V2026_07_28).await;
    let (mut listen, _) = client.listen("1", r#""toolsListChanged":true"#).await;
    let show = async |text: &'static str| {
        *description.lock().expect("no panic") = text;
        let listed = async || {
            let tools = client.result_of("tools/list", json!({})).await;
            tools["tools"][0]["description"] == text
        };
        crate::support::eventually_async("the list is new", listed).await;
    };
    show("one of: a, b, c").await;
    show("one of: c, a, b").await;
    assert!(listen.is_silent(std::time::Duration::from_millis(300)).await);
    assert!(restarts.0.lock().expect("no panic").is_empty());
    show("another").await;
    assert_eq!(listen.json().await["method"], "notifications/tools/list_changed");
    assert_eq!(*restarts.0.lock().expect("no panic"), [false]);
    // It was so before.
    show("one of: b, c, a").await;
    show("another").await;
    assert!(listen.is_silent(std::time::Duration::from_millis(300)).await);
    assert_eq!(*restarts.0.lock().expect("no panic"), [false]);
}

fn refuse(request: &Request, code: i64) -> Reply {
    let error = json!({"code": code, "message": "no", "data": {"supported": ["2026-07-28"]}});
    let body = format!(r#"{{"jsonrpc":"2.0","id":{},"error":{error}}}"#, request.id());
    Reply::new(400, "application/json", body)
}

/// A server with one list, of which its method and member tell.
async fn listing(method: &'static str, list: String) -> ScriptedServer {
    scripted(move |request: &Request| match request.method() {
        "initialize" => Reply::result(
            request,
            r#"{"protocolVersion":"2025-11-25","capabilities":{"prompts":{},"resources":{},"completions":{}},"serverInfo":{"name":"s","version":"1"}}"#,
        ),
        "completion/complete" => Reply::result(request, r#"{"completion":{"values":["here"]}}"#),
        known if known == method => Reply::result(request, &list),
        _ => legacy(request).unwrap_or_else(|| Reply::result(request, r#"{"resources":[],"resourceTemplates":[],"prompts":[]}"#)),
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invalid_entries_are_omitted() {
    for (method, member, key) in [
        ("resources/list", "resources", "uri"),
        ("resources/templates/list", "resourceTemplates", "uriTemplate"),
        ("prompts/list", "prompts", "name"),
    ] {
        let long = "x".repeat(5000);
        let deep = format!("{}{}", "[".repeat(100), "]".repeat(100));
        let bad = [
            "5".to_owned(),
            "null".into(),
            format!(r#"["{key}","a:0"]"#),
            "{}".into(),
            format!(r#"{{"{key}":7}}"#),
            format!(r#"{{"{key}":""}}"#),
            format!(r#"{{"{key}":"a\u0000b"}}"#),
            format!(r#"{{"{key}":"\ud800"}}"#),
            format!(r#"{{"{key}":"a:0","{key}":"a:0"}}"#),
            format!(r#"{{"{key}":"{long}"}}"#),
            format!(r#"{{"{key}":"a:0","x":{deep}}}"#),
        ];
        let named = if key == "name" { "" } else { r#","name":"named""# };
        let good = ["b:{x}", "a:{x}", "c:{x}"].map(|own| format!(r#"{{"{key}":"{own}","n":1.0{named}}}"#));
        let again = format!(r#"{{"{key}":"a:{{x}}","n":2{named}}}"#);
        let items = [&bad[..4], &good[..], &bad[4..], &[again][..]].concat();
        let upstream = listing(method, format!(r#"{{"{member}":[{}]}}"#, items.join(","))).await;
        let gateway = TestGateway::with_plain_names(&upstream.url()).await;
        for version in ClientVersion::EACH_ERA {
            let client = gateway.connect(version).await;
            let listed = client.call_method(method, "").await;
            // Those that are left are in order, each once, as they were written.
            let expected = format!(r#""{member}":[{},{},{}]"#, good[1], good[0], good[2]);
            assert!(listed.text().contains(&expected), "{}", listed.text());
            assert!(!listed.text().contains("dev.portolan/failure"));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exact_template_beats_matching_one() {
    let templates = |list: &str| format!(r#"{{"resourceTemplates":[{list}]}}"#);
    let any = listing(
        "resources/templates/list",
        templates(r#"{"name":"any","uriTemplate":"{+any}"}"#),
    )
    .await;
    let one = listing(
        "resources/templates/list",
        templates(r#"{"name":"one","uriTemplate":"note://{id}"}"#),
    )
    .await;
    let upstreams = [("a", Upstream::http(any.url())), ("b", Upstream::http(one.url()))];
    let gateway = TestGateway::builder().upstreams(upstreams).start().await;
    let client = gateway.connect(ClientVersion::V2026_07_28).await;
    let complete = r#""ref":{"type":"ref/resource","uri":"note://{id}"},"argument":{"name":"id","value":""}"#;
    let completed = client.call_method("completion/complete", complete).await.json();
    assert_eq!(completed["result"]["completion"]["values"], json!(["here"]));
    assert_eq!(any.count_of("completion/complete"), 0);
    assert_eq!(one.count_of("completion/complete"), 1);
}
