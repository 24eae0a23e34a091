//! URIs that name their server: whatever carries one, in every pairing of eras.

mod notifications;
mod results;

use portolan_core::{Action, Decision, Naming, PolicyFn, ResourceNaming};
use portolan_gateway::{Builder, Upstream};
use serde_json::{Value, json};

use crate::support::{
    client::{Client, ClientVersion},
    gateway::TestGateway,
    servers::resources::resource_server,
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

/// In front of two servers, with URIs that name them.
pub(crate) async fn named(a: &str, b: &str, change: impl FnOnce(Builder) -> Builder) -> TestGateway {
    let upstreams = [("a", Upstream::http(a)), ("b", Upstream::http(b))];
    TestGateway::builder()
        .upstreams(upstreams)
        .settings(|builder| change(builder.resource_naming(ResourceNaming::Prefix)))
        .start()
        .await
}

fn members(list: &Value, of: &str, member: &str) -> Vec<String> {
    let items = list[of].as_array().unwrap_or_else(|| panic!("no {of}: {list}"));
    let members = items
        .iter()
        .map(|item| item[member].as_str().expect("a text").to_owned());
    members.collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn equal_servers_stay_distinct() {
    for (version, eras) in PAIRINGS {
        let (first, second) = (everything(eras).await, everything(eras).await);
        let gateway = named(&first.url(), &second.url(), |builder| builder).await;
        let client = gateway.connect(version).await;
        let listed = members(&client.result_of("resources/list", json!({})).await, "resources", "uri");
        let own = ["test://static-binary", "test://static-text", "test://watched-resource"];
        let expected: Vec<_> = ["a", "b"]
            .iter()
            .flat_map(|server| own.map(|uri| format!("mcp+{server}+{uri}")))
            .collect();
        assert_eq!(listed, expected, "{version:?} {eras:?}");
        let templates = client.result_of("resources/templates/list", json!({})).await;
        let templates = members(&templates, "resourceTemplates", "uriTemplate");
        let data = |server| format!("mcp+{server}+test://template/{{id}}/data");
        assert_eq!(templates, [data("a"), data("b")]);
        let expanded = templates.iter().map(|template| template.replace("{id}", "7"));
        for uri in listed.iter().cloned().chain(expanded) {
            let read = client.result_of("resources/read", json!({"uri": uri})).await;
            assert_eq!(read["contents"][0]["uri"], uri);
            assert_eq!(read.get("resultType").is_some(), version.is_modern());
            assert_eq!(read.get("ttlMs").is_some(), version.is_modern());
        }
        for server in ["a", "b"] {
            let embedded = client
                .tool(&format!("{server}__test_embedded_resource"), json!({}))
                .await;
            let uri = &embedded["result"]["content"][0]["resource"]["uri"];
            assert_eq!(*uri, format!("mcp+{server}+test://embedded-resource"), "{embedded}");
            let mixed = client
                .tool(&format!("{server}__test_multiple_content_types"), json!({}))
                .await;
            let uri = &mixed["result"]["content"][2]["resource"]["uri"];
            assert_eq!(*uri, format!("mcp+{server}+test://mixed-content-resource"));
            // What a prompt is told is none of ours; what it embeds is.
            let prompt = json!({"name": format!("{server}__test_prompt_with_embedded_resource"), "arguments": {"resourceUri": "ui://x/y"}});
            let prompt = client.result_of("prompts/get", prompt).await;
            let uri = &prompt["messages"][0]["content"]["resource"]["uri"];
            assert_eq!(*uri, format!("ui://{server}/x/y"));
            let reference = json!({"type": "ref/resource", "uri": data(server)});
            let complete = json!({"ref": reference, "argument": {"name": "id", "value": "te"}});
            let complete = client.result_of("completion/complete", complete).await;
            assert_eq!(complete["completion"]["values"], json!(["test", "testing"]));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn same_uri_is_two_resources() {
    for (version, eras) in PAIRINGS {
        let modern = eras == Eras::Modern;
        let (first, second) = (
            resource_server(modern, "a", "{}").await,
            resource_server(modern, "b", "{}").await,
        );
        let gateway = named(&first.url(), &second.url(), |builder| builder).await;
        let client = gateway.connect(version).await;
        for (server, uri) in [
            ("a", "mcp+a+note://1"),
            ("b", "mcp+b+note://1"),
            ("a", "ui://a/app/main"),
            ("b", "ui://b/app/main"),
            // Neither lists it: its URI says whose it is.
            ("b", "mcp+b+note://2"),
            ("a", "mcp+a+note://2"),
        ] {
            let read = client.result_of("resources/read", json!({"uri": uri})).await;
            let content = json!([{"uri": uri, "text": format!("of {server}")}]);
            assert_eq!(read["contents"], content, "{version:?} {eras:?}");
        }
        assert_eq!(second.count_of("resources/read"), 3, "nobody else was asked");
        let reference = json!({"type": "ref/resource", "uri": "mcp+b+note://{id}{?deep}"});
        let complete = json!({"ref": reference, "argument": {"name": "id", "value": ""}});
        let complete = client.result_of("completion/complete", complete).await;
        assert_eq!(complete["completion"]["values"], json!(["b"]));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_uris_are_rewritten() {
    // The oldest version has no icons, which are taken out for it.
    for (version, eras) in PAIRINGS
        .into_iter()
        .filter(|(version, _)| *version != ClientVersion::V2025_03_26)
    {
        let modern = eras == Eras::Modern;
        let (first, second) = (
            resource_server(modern, "a", "{}").await,
            resource_server(modern, "b", "{}").await,
        );
        let gateway = named(&first.url(), &second.url(), |builder| builder).await;
        let client = gateway.connect(version).await;
        let tools = client.call_method("tools/list", "").await;
        let meta = r#""_meta":{"ui" : {"resourceUri":"ui:\/\/b/app\/main","n":1.0},"ui/resourceUri":"ui://b/app/main","openai/outputTemplate":"ui://b/app/old","x":{"resourceUri":"ui://app/main"}}"#;
        assert!(tools.text().contains(meta), "{}", tools.text());
        let app = tools.json()["result"]["tools"][1]["_meta"]["ui"]["resourceUri"].clone();
        let read = client.result_of("resources/read", json!({"uri": app})).await;
        assert_eq!(read["contents"][0]["text"], "of b");
        let resources = client.call_method("resources/list", "").await;
        for server in ["a", "b"] {
            let one = format!(
                r#"{{"uri":"mcp+{server}+note://1","name":"one" , "size":1.50e1,"icons":[{{"src":"note://icon"}}]}}"#
            );
            assert!(resources.text().contains(&one), "{}", resources.text());
        }
        let templates = client.call_method("resources/templates/list", "").await;
        let any = r#"{"name":"any","uriTemplate":"mcp+b+note://{id}{?deep}"}"#;
        assert!(templates.text().contains(any), "{}", templates.text());
    }
}

/// The answer, with what differs from one request to the next made the same.
async fn refusal(client: &Client, uri: &str) -> Value {
    let answer = client.response_to("resources/read", json!({"uri": uri})).await;
    assert_eq!(answer["error"]["data"]["uri"], uri, "{answer}");
    let code = if client.version.is_modern() { -32602 } else { -32002 };
    assert_eq!(answer["error"]["code"], code, "{answer}");
    let mut error = answer["error"].clone();
    error["data"]["uri"] = Value::Null;
    error
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unknown_uri_is_echoed() {
    for (version, eras) in PAIRINGS {
        let modern = eras == Eras::Modern;
        let (first, second) = (
            resource_server(modern, "a", "{}").await,
            resource_server(modern, "b", "{}").await,
        );
        let gateway = named(&first.url(), &second.url(), |builder| {
            builder.policy(PolicyFn(
                |_: &portolan_core::Caller, action: &Action<'_>| match action {
                    // It is told what the server calls it.
                    Action::ReadResource(used) if used.uri == "note://1" && used.server.as_str() == "a" => {
                        Decision::deny()
                    }
                    _ => Decision::Allow,
                },
            ))
        })
        .await;
        let client = gateway.connect(version).await;
        let denied = refusal(&client, "mcp+a+note://1").await;
        for nobodys in [
            "mcp+c+note://1",
            "mcp++note://1",
            "mcp+A+note://1",
            "mcp+b",
            "MCP+b+note://1",
            "note://1",
            "ui://app/main",
            "ui://c/app/main",
            "",
        ] {
            assert_eq!(refusal(&client, nobodys).await, denied, "{nobodys}");
        }
        assert_eq!(first.count_of("resources/read") + second.count_of("resources/read"), 0);
        for unknown in ["mcp+b+note://9", "mcp+b+mcp+b+note://1", "ui://b/x", "mcp+b+"] {
            assert_eq!(refusal(&client, unknown).await["message"], "no such note");
        }
        let listed = client.result_of("resources/list", json!({})).await.to_string();
        assert!(!listed.contains("mcp+a+note://1") && listed.contains("mcp+b+note://1"));
        assert_eq!(
            client
                .result_of("resources/read", json!({"uri": "mcp+b+note://1"}))
                .await["contents"][0]["text"],
            "of b"
        );
        let reference = json!({"type": "ref/resource", "uri": "mcp+c+note://{id}{?deep}"});
        let complete = json!({"ref": reference, "argument": {"name": "id", "value": ""}});
        assert_eq!(
            client.response_to("completion/complete", complete).await["error"]["code"],
            -32602
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn extension_methods_are_blocked() {
    let server = resource_server(true, "a", "{}").await;
    for (uris, reached) in [(ResourceNaming::Plain, true), (ResourceNaming::Prefix, false)] {
        let gateway = TestGateway::builder()
            .server("a", server.url())
            .settings(|builder| builder.naming(Naming::Plain).resource_naming(uris))
            .start()
            .await;
        let client = gateway.connect(ClientVersion::V2026_07_28).await;
        client.tools().await;
        let before = server.count_of("skills/list");
        assert_eq!(client.call_method("skills/list", "").await.code(), -32601);
        assert_eq!(server.count_of("skills/list") > before, reached);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gateways_can_be_nested() {
    let (first, second) = (
        resource_server(true, "a", "{}").await,
        resource_server(false, "b", "{}").await,
    );
    let inner = named(&first.url(), &second.url(), |builder| builder).await;
    let url = format!("http://{}/mcp/default", inner.address);
    let outer = TestGateway::builder()
        .upstream("in", Upstream::http(url).bearer("alice-token"))
        .settings(|builder| builder.resource_naming(ResourceNaming::Prefix))
        .start()
        .await;
    for version in ClientVersion::EACH_ERA {
        let client = outer.connect(version).await;
        let listed = members(&client.result_of("resources/list", json!({})).await, "resources", "uri");
        let expected = [
            "mcp+in+mcp+a+note://1",
            "mcp+in+mcp+b+note://1",
            "ui://in/a/app/main",
            "ui://in/b/app/main",
        ];
        assert_eq!(listed, expected);
        for (uri, server) in listed.iter().zip(["a", "b", "a", "b"]) {
            let read = client.result_of("resources/read", json!({"uri": uri})).await;
            assert_eq!(read["contents"], json!([{"uri": uri, "text": format!("of {server}")}]));
        }
    }
}
