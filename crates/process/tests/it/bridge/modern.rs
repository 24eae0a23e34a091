//! A modern server behind the bridge.

use portolan_core::Channel;
use serde_json::json;

use super::{client::modern, process::Bridge};
use crate::support::Ledger;

#[tokio::test]
async fn messages_are_relayed_unchanged() {
    let bridge = Bridge::of_fixture(&["--era", "modern"]).await;
    let client = bridge.client();
    let discovered = client.post(&modern("server/discover", json!({}))).await.json();
    assert_eq!(discovered["id"], "m");
    assert_eq!(discovered["result"]["supportedVersions"], json!(["2026-07-28"]));
    let echo = modern(
        "tools/call",
        json!({"name": "echo", "arguments": {"text": "ä\n", "n": [1, 2]}}),
    );
    let answer = client.post(&echo).await;
    assert_eq!(
        (answer.status.as_u16(), &answer.headers["content-type"]),
        (200, &"application/json".parse().unwrap())
    );
    assert_eq!(
        answer.json()["result"]["structuredContent"],
        json!({"text": "ä\n", "n": [1, 2]})
    );
    assert!(!answer.headers.contains_key("mcp-session-id"));
}

#[tokio::test]
async fn errors_have_modern_status() {
    let bridge = Bridge::of_fixture(&["--era", "modern"]).await;
    let client = bridge.client();
    let unknown = client.post(&modern("no/such", json!({}))).await;
    assert_eq!(
        (unknown.status.as_u16(), &unknown.json()["error"]["code"]),
        (404, &json!(-32601))
    );
    let tool = client.post(&modern("tools/call", json!({"name": "no-such"}))).await;
    assert_eq!(
        (tool.status.as_u16(), &tool.json()["error"]["code"]),
        (200, &json!(-32602))
    );
    let mut legacy = bridge.client();
    legacy.session = Some("x".into());
    let refused = legacy
        .post(&json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"}))
        .await;
    assert_eq!(
        (refused.status.as_u16(), &refused.json()["error"]["code"]),
        (400, &json!(-32022))
    );
    assert_eq!(client.delete().await.status, 405);
    assert_eq!(client.listen().await.status, 405);
}

#[tokio::test]
async fn progress_has_callers_token() {
    let bridge = Bridge::of_fixture(&["--era", "modern"]).await;
    let params = json!({"name": "progress", "arguments": {"steps": 3, "ms": 10}, "_meta": {"progressToken": "mine"}});
    let messages = bridge.client().stream(&modern("tools/call", params)).await.rest().await;
    let steps: Vec<_> = messages[..3]
        .iter()
        .map(|message| message["params"]["progressToken"].clone())
        .collect();
    assert_eq!(steps, ["mine", "mine", "mine"]);
    assert_eq!((messages.len(), &messages[3]["id"]), (4, &json!("m")));
}

#[tokio::test]
async fn lost_connection_cancels_call() {
    let ledger = Ledger::new();
    let bridge = Bridge::of_fixture(&["--ledger", ledger.path()]).await;
    let client = bridge.client();
    let sleep = modern("tools/call", json!({"name": "sleep", "arguments": {"ms": 20_000}}));
    let call = tokio::spawn(async move { client.try_post(&sleep).await.is_ok() });
    ledger.begun(1).await;
    call.abort();
    ledger.cancelled("").await;
}

#[tokio::test]
async fn subscription_has_clients_id() {
    let mut bridge = Bridge::of_everything(&[], &["--era", "modern"]).await;
    let client = bridge.client();
    let filter = json!({"notifications": {"toolsListChanged": true}});
    let mut events = client.stream(&modern("subscriptions/listen", filter)).await;
    let subscription = "io.modelcontextprotocol/subscriptionId";
    let acknowledged = events.next().await.unwrap();
    assert_eq!(acknowledged["method"], "notifications/subscriptions/acknowledged");
    assert_eq!(acknowledged["params"]["_meta"][subscription], "m");
    bridge.terminate();
    let ended = events.rest().await;
    assert_eq!(
        (&ended[0]["id"], &ended[0]["result"]["_meta"][subscription]),
        (&json!("m"), &json!("m"))
    );
    assert_eq!(bridge.ended().await.code(), Some(0));
}

#[tokio::test]
async fn input_required_is_relayed() {
    let bridge = Bridge::of_everything(&[], &["--era", "modern"]).await;
    let asked = modern(
        "tools/call",
        json!({"name": "test_elicitation", "arguments": {"message": "sure?"}}),
    );
    let result = bridge.client().post(&asked).await.message()["result"].clone();
    assert_eq!(result["resultType"], "input_required", "{result}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_callers() {
    let bridge = Bridge::of_fixture(&["--era", "modern", "--out-of-order"]).await;
    let begun = std::time::Instant::now();
    let callers = (0..64u32).map(|caller| {
        let client = bridge.client();
        tokio::spawn(async move {
            for number in 0..30u32 {
                let arguments = json!({"text": format!("{caller}/{number}"), "also": [caller, number]});
                let message = modern("tools/call", json!({"name": "echo", "arguments": arguments}));
                let answer = client.post(&message).await;
                assert_eq!(answer.json()["result"]["structuredContent"], arguments);
            }
        })
    });
    for caller in futures_util::future::join_all(callers).await {
        caller.unwrap();
    }
    println!(
        "{:.0} calls a second, each over its own connection",
        1920.0 / begun.elapsed().as_secs_f64()
    );
}

#[tokio::test]
async fn result_of_16_mib() {
    let bridge = Bridge::of_fixture(&[]).await;
    let big = modern("tools/call", json!({"name": "big", "arguments": {"bytes": 16 << 20}}));
    let answer = bridge.client().post(&big).await.json();
    assert_eq!(answer["result"]["content"][0]["text"].as_str().unwrap().len(), 16 << 20);
}

/// The channel and the bridge give the same answer to the same request.
#[tokio::test]
async fn bridge_equals_channel() {
    let bridge = Bridge::of_fixture(&["--era", "modern"]).await;
    let served = crate::support::serve(["--era", "modern"]);
    assert!(served.server.handshake().await.unwrap().modern);
    let message = modern("tools/list", json!({}));
    let bridged = bridge.client().post(&message).await.json();
    let params = message["params"].to_string();
    let request = portolan_core::ChannelRequest::new("tools/list", Some(params.into()), crate::support::TIMEOUT);
    let answer = served.server.call(request).await.unwrap().answer().await.unwrap();
    let portolan_core::RpcResponse::Result(raw) = answer else {
        panic!("an error");
    };
    assert_eq!(
        bridged["result"],
        serde_json::from_slice::<serde_json::Value>(&raw).unwrap()
    );
}
