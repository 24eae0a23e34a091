//! What one caller sees and reaches, and another does not.

use portolan_core::{Action, Caller, Decision, PolicyFn};
use serde_json::{Value, json};

use super::{CallerBroker, gateway, personal, token};
use crate::support::{
    client::{Client, ClientVersion},
    gateway::TestGateway,
    servers::{Reply, modern, scripted},
};

async fn clients(gateway: &TestGateway, version: ClientVersion) -> [Client; 2] {
    let alice = gateway.connect(version).await;
    let mut bob = gateway.client(version).token("bob-token");
    bob.handshake().await;
    [alice, bob]
}

async fn description(client: &Client) -> Value {
    let listed = client.result_of("tools/list", json!({})).await;
    let mut tools = listed["tools"].as_array().expect("a list").iter();
    let shared = tools.find(|tool| tool["name"] == "up__shared").expect("listed");
    shared["description"].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tools_differ_per_caller() {
    for version in ClientVersion::EACH_ERA {
        let upstream = personal().await;
        let gateway = gateway(&upstream, CallerBroker::by_name()).start().await;
        let [alice, bob] = clients(&gateway, version).await;
        for _ in 0..2 {
            assert_eq!(alice.tools().await, ["up__only_alice", "up__shared"], "{version:?}");
            assert_eq!(bob.tools().await, ["up__shared"], "{version:?}");
        }
        assert_eq!(description(&alice).await, "of alice");
        assert_eq!(description(&bob).await, "of others");
        assert_eq!(upstream.count_of("tools/list"), 2, "one list for each");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_are_routed_per_caller() {
    for version in ClientVersion::EACH_ERA {
        let upstream = personal().await;
        let gateway = gateway(&upstream, CallerBroker::by_name()).start().await;
        let [alice, bob] = clients(&gateway, version).await;
        assert_eq!(alice.text("up__only_alice", json!({})).await, "alice -", "{version:?}");
        let refused = bob.tool("up__only_alice", json!({})).await;
        assert_eq!(refused["error"]["code"], -32602, "{refused}");
        let to_bob = upstream.count(|request| request.method() == "tools/call" && token(request) == "bob");
        assert_eq!(to_bob, 0, "{version:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn header_annotations_differ_per_caller() {
    let upstream = personal().await;
    let gateway = gateway(&upstream, CallerBroker::by_name()).start().await;
    let [alice, bob] = clients(&gateway, ClientVersion::V2026_07_28).await;
    // The list that bob has asked for last says nothing of a header.
    alice.tools().await;
    bob.tools().await;
    let arguments = r#"{"region":"eu"}"#;
    let text = |answer: Value| answer["result"]["content"][0]["text"].clone();
    let plain = alice.send(&alice.call("1", "up__shared", arguments)).await;
    assert_eq!(plain.status(), 400, "{plain:?}");
    let mirrored = alice.call("2", "up__shared", arguments).and("mcp-param-region", "eu");
    assert_eq!(text(alice.send(&mirrored).await.json()), "alice eu");
    let plain = bob.send(&bob.call("1", "up__shared", arguments)).await;
    assert_eq!(text(plain.json()), "bob -");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prompts_differ_per_caller() {
    let upstream = personal().await;
    let gateway = gateway(&upstream, CallerBroker::by_name()).start().await;
    let [alice, bob] = clients(&gateway, ClientVersion::V2026_07_28).await;
    let listed = alice.result_of("prompts/list", json!({})).await;
    assert_eq!(listed["prompts"][0]["name"], "up__hers");
    alice.result_of("prompts/get", json!({"name": "up__hers"})).await;
    let listed = bob.result_of("prompts/list", json!({})).await;
    assert_eq!(listed["prompts"], json!([]));
    let refused = bob.response_to("prompts/get", json!({"name": "up__hers"})).await;
    assert_eq!(refused["error"]["code"], -32602, "{refused}");
    assert_eq!(upstream.count_of("prompts/get"), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn policy_sees_definition_of_caller() {
    let upstream = personal().await;
    let policy = PolicyFn(|_: &Caller, action: &Action<'_>| match action.tool() {
        Some(tool) if tool.is_destructive() => Decision::deny_because("destructive"),
        _ => Decision::Allow,
    });
    let policy = std::sync::Arc::new(policy);
    let gateway = gateway(&upstream, CallerBroker::by_name())
        .parts(|parts| parts.policy = policy.clone())
        .start()
        .await;
    let [alice, bob] = clients(&gateway, ClientVersion::V2025_11_25).await;
    for _ in 0..2 {
        assert_eq!(bob.tools().await, [""; 0]);
        assert_eq!(alice.tools().await, ["up__only_alice", "up__shared"]);
        assert_eq!(alice.text("up__shared", json!({})).await, "alice -");
        let denied = bob.tool("up__shared", json!({})).await;
        assert_eq!(denied["error"]["code"], -32602, "{denied}");
    }
}

/// Two servers have the same resource: which one lists it depends on who asks.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn resource_owner_differs_per_caller() {
    let server = async |owner: &'static str| {
        scripted(move |request| match request.method() {
            "server/discover" => Reply::result(
                request,
                r#"{"resultType":"complete","supportedVersions":["2026-07-28"],"capabilities":{"resources":{}},"ttlMs":0,"cacheScope":"private"}"#,
            ),
            "resources/list" if token(request) == owner => {
                let listed = json!({"resultType": "complete", "resources": [{"uri": "file:///notes", "name": "n"}], "ttlMs": 0, "cacheScope": "private"});
                Reply::result(request, listed)
            }
            "resources/list" => Reply::result(request, r#"{"resultType":"complete","resources":[],"ttlMs":0,"cacheScope":"private"}"#),
            "resources/templates/list" => Reply::result(request, r#"{"resultType":"complete","resourceTemplates":[],"ttlMs":0,"cacheScope":"private"}"#),
            "resources/read" => {
                let read = json!({"resultType": "complete", "contents": [{"uri": "file:///notes", "text": owner}], "ttlMs": 0, "cacheScope": "private"});
                Reply::result(request, read)
            }
            _ => modern(request).unwrap_or_else(|| Reply::error(request, -32601, "none").with_status(404)),
        })
        .await
    };
    let (hers, his) = (server("alice").await, server("bob").await);
    let gateway = TestGateway::builder()
        .servers(&[("a", &hers.url()), ("b", &his.url())])
        .broker(CallerBroker::by_name())
        .start()
        .await;
    for version in ClientVersion::EACH_ERA {
        let [alice, bob] = clients(&gateway, version).await;
        for _ in 0..2 {
            for (client, name) in [(&alice, "alice"), (&bob, "bob")] {
                let read = client
                    .result_of("resources/read", json!({"uri": "file:///notes"}))
                    .await;
                assert_eq!(read["contents"][0]["text"], name, "{version:?}");
                let listed = client.result_of("resources/list", json!({})).await;
                assert_eq!(listed["resources"].as_array().map(Vec::len), Some(1), "{listed}");
            }
        }
    }
}
