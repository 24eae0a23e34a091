//! `input_required` results that say so after much else.

use portolan_core::ServerRequestPolicy;
use serde_json::{Value, json};

use crate::support::{
    client::ClientVersion,
    gateway::TestGateway,
    servers::{Reply, Request, ScriptedServer, modern, scripted},
};

const ELICITATION: &str = r#"{"elicitation":{}}"#;

/// What is asked, of so many bytes.
fn questions(size: usize) -> Value {
    let schema = json!({"type": "object", "properties": {}});
    json!({"q": {"method": "elicitation/create", "params": {"message": "x".repeat(size), "requestedSchema": schema}}})
}

/// The answer to a call: questions first, and last that they are questions; a result for who brings answers.
fn result(request: &Request, size: usize) -> String {
    if request.body["params"]["inputResponses"].is_object() {
        return r#"{"resultType":"complete","content":[{"type":"text","text":"done"}]}"#.into();
    }
    let requests = questions(size);
    format!(
        r#"{{"_meta":{{"content":[]}},"inputRequests":{requests},"requestState":"s","resultType":"input_required"}}"#
    )
}

async fn server(size: usize, events: bool) -> ScriptedServer {
    scripted(move |request| {
        modern(request).unwrap_or_else(|| {
            let result = result(request, size);
            if !events {
                return Reply::result(request, &result);
            }
            let (events, reply) = Reply::events();
            events.send(format!(
                r#"{{"jsonrpc":"2.0","id":{},"result":{result}}}"#,
                request.id()
            ));
            reply
        })
    })
    .await
}

async fn gateway(script: &ScriptedServer, held: usize) -> TestGateway {
    TestGateway::builder()
        .server("up", script.url())
        .server_requests(ServerRequestPolicy::ALL)
        .config(|config| config.limits.held_bytes = held)
        .start()
        .await
}

#[tokio::test]
async fn late_result_type_is_recognised() {
    for events in [false, true] {
        for size in [10, 40_000, 3_000_000] {
            let script = server(size, events).await;
            let gateway = gateway(&script, 32 << 20).await;
            let client = gateway.connect_with(ClientVersion::V2026_07_28, ELICITATION).await;
            let asked = client.tool("up__t", json!({})).await;
            assert_eq!(asked["result"]["resultType"], "input_required", "{size}, {events}");
            assert_eq!(asked["result"]["inputRequests"], questions(size));
            let extra = format!(
                r#""name":"up__t","arguments":{{}},"inputResponses":{{"q":{{"action":"decline"}}}},"requestState":{}"#,
                asked["result"]["requestState"]
            );
            let done = client.call_method("tools/call", &extra).await.json();
            assert_eq!(done["result"]["content"][0]["text"], "done");

            let client = gateway.connect_with(ClientVersion::V2025_11_25, ELICITATION).await;
            let mut incoming = client.begin(&client.call("\"1\"", "up__t", "{}")).await;
            let question = incoming.json().await;
            assert_eq!(question["params"]["message"].as_str().map(str::len), Some(size));
            let answer = json!({"jsonrpc": "2.0", "id": question["id"], "result": {"action": "decline"}});
            assert_eq!(client.send(&client.post(answer.to_string())).await.status(), 202);
            assert_eq!(incoming.json().await["result"]["content"][0]["text"], "done");
        }
    }
}

#[tokio::test]
async fn held_bytes_are_bounded() {
    for events in [false, true] {
        let script = server(300_000, events).await;
        let gateway = gateway(&script, 200_000).await;
        for version in ClientVersion::EACH_ERA {
            let client = gateway.connect_with(version, ELICITATION).await;
            let message = client.tool("up__t", json!({})).await;
            assert_eq!(message["result"]["isError"], true, "{version:?}, {events}");
            let text = message["result"]["content"][0]["text"].as_str().unwrap_or_default();
            assert!(text.contains("larger than 200000 bytes"), "{text}");
        }
    }
}
