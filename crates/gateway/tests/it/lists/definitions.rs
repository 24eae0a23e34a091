//! Lists in which a definition does not fit the protocol: the others are listed all the same.

use serde_json::{Value, json};

use crate::support::{
    client::ClientVersion,
    gateway::TestGateway,
    servers::{Reply, ScriptedServer, common, scripted},
};

const GOOD: &str = r#"{"name":"good", "inputSchema":{"type":"object"},"x" : null}"#;

/// A server that lists these items, as raw JSON, of one kind.
async fn listing(is_modern: bool, method: &'static str, member: &'static str, items: String) -> ScriptedServer {
    let capabilities = r#""capabilities":{"tools":{},"prompts":{},"resources":{}}"#;
    scripted(move |request| match request.method() {
        "server/discover" if is_modern => Reply::result(
            request,
            format!(r#"{{"resultType":"complete","supportedVersions":["2026-07-28"],{capabilities},"ttlMs":0,"cacheScope":"private"}}"#),
        ),
        "initialize" if !is_modern => Reply::result(
            request,
            format!(r#"{{"protocolVersion":"2025-11-25",{capabilities},"serverInfo":{{"name":"s","version":"1"}}}}"#),
        ),
        asked if asked == method => Reply::result(
            request,
            format!(r#"{{"resultType":"complete","{member}":[{items}],"ttlMs":0,"cacheScope":"private"}}"#),
        ),
        _ => common(is_modern, request).unwrap_or_else(|| Reply::error(request, -32601, "none").with_status(404)),
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_definition_hides_no_other() {
    let cases = [
        ("tools/list", "tools", GOOD, r#"{"name":"bad"}"#, "bad"),
        (
            "tools/list",
            "tools",
            GOOD,
            r#"{"name":"bad","inputSchema":{"type":"object"},"annotations":{"readOnlyHint":0}}"#,
            "bad",
        ),
        ("tools/list", "tools", GOOD, "5", "#1"),
        (
            "prompts/list",
            "prompts",
            r#"{"name":"good"}"#,
            r#"{"name":"bad","arguments":[{}]}"#,
            "bad",
        ),
        (
            "resources/list",
            "resources",
            r#"{"uri":"note:good","name":"good"}"#,
            r#"{"uri":"note:bad"}"#,
            "note:bad",
        ),
        (
            "resources/templates/list",
            "resourceTemplates",
            r#"{"uriTemplate":"note:{id}","name":"good"}"#,
            r#"{"uriTemplate":"bad:{id}","name":null}"#,
            "bad:{id}",
        ),
    ];
    for is_modern in [false, true] {
        for (method, member, good, bad, name) in cases {
            let items = format!("{bad},{good}");
            let (one, other) = (
                listing(is_modern, method, member, items).await,
                listing(is_modern, method, member, good.replace("good", "fine")).await,
            );
            let gateway = TestGateway::builder()
                .servers(&[("up", &one.url()), ("other", &other.url())])
                .start()
                .await;
            for version in ClientVersion::ALL {
                let client = gateway.connect(version).await;
                let list = client.result_of(method, json!({})).await;
                let what = format!("{is_modern} {version:?} {list}");
                let count = if member == "resourceTemplates" { 1 } else { 2 };
                assert_eq!(list[member].as_array().map(Vec::len), Some(count), "{what}");
                let omitted = &list["_meta"]["dev.portolan/omitted"];
                assert!(
                    omitted["up"][name].as_str().is_some_and(|problem| !problem.is_empty()),
                    "{what}"
                );
                assert_eq!(omitted.as_object().map(serde_json::Map::len), Some(1), "{what}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn null_members_are_dropped() {
    let tool =
        r#"{"name":"t","inputSchema":{"type":"object"},"annotations":{"readOnlyHint":null,"title":"T"},"title":null}"#;
    for is_modern in [false, true] {
        let upstream = listing(is_modern, "tools/list", "tools", tool.into()).await;
        let gateway = TestGateway::with_plain_names(upstream.url()).await;
        for version in ClientVersion::ALL {
            let client = gateway.connect(version).await;
            let body = client.call_method("tools/list", "").await.body;
            let body = String::from_utf8(body).expect("UTF-8");
            let expected = r#"[{"name":"t","inputSchema":{"type":"object"},"annotations":{"title":"T"}}]"#;
            assert!(body.contains(expected) && !body.contains("omitted"), "{body}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn boolean_schemas_fit_the_revision() {
    let schema = r#"{"type":"object", "properties":{"x":true,"y":false,"z":{"items":true}}}"#;
    let tool = format!(r#"{{"name":"t","inputSchema":{schema}}}"#);
    for is_modern in [false, true] {
        let upstream = listing(is_modern, "tools/list", "tools", tool.clone()).await;
        let gateway = TestGateway::with_server(upstream.url()).await;
        for version in ClientVersion::ALL {
            let client = gateway.connect(version).await;
            let body = client.call_method("tools/list", "").await.body;
            let body = String::from_utf8(body).expect("UTF-8");
            let legacy = r#"{"type":"object","properties":{"x":{},"y":{"not":{}},"z":{"items":true}}}"#;
            assert!(
                body.contains(if version.is_modern() { schema } else { legacy }),
                "{body}"
            );
            let list: Value = serde_json::from_str(&body).expect("JSON");
            assert_eq!(list["result"]["tools"][0]["name"], "up__t");
        }
    }
}
