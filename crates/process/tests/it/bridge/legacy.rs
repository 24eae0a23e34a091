//! A legacy server behind the bridge.

use serde_json::{Value, json};

use super::{
    client::{Client, call},
    process::Bridge,
};
use crate::support::{Ledger, eventually};

async fn session(bridge: &Bridge) -> Client {
    let mut client = bridge.client();
    client.initialize().await;
    client
}

#[tokio::test]
async fn initialize_returns_server_result() {
    let bridge = Bridge::of_fixture(&["--era", "legacy"]).await;
    let mut client = bridge.client();
    let result = client.initialize().await;
    assert_eq!(
        result,
        json!({"protocolVersion": "2025-11-25", "capabilities": {"tools": {"listChanged": true}},
            "serverInfo": {"name": "stdio-fixture", "version": "1.0.0"}, "instructions": "a fixture"})
    );
    let listed = client
        .post(&json!({"jsonrpc": "2.0", "id": "x", "method": "tools/list"}))
        .await
        .json();
    assert_eq!(
        (listed["result"]["tools"].as_array().unwrap().len(), &listed["id"]),
        (13, &json!("x"))
    );
    let pong = client
        .post(&json!({"jsonrpc": "2.0", "id": 1, "method": "ping"}))
        .await
        .json();
    assert_eq!(pong["result"], json!({}));
}

#[tokio::test]
async fn version_negotiation() {
    let bridge = Bridge::of_fixture(&["--era", "legacy"]).await;
    for (asked, agreed) in [
        ("2025-03-26", "2025-03-26"),
        ("2025-06-18", "2025-06-18"),
        ("2026-07-28", "2025-11-25"),
        ("x", "2025-11-25"),
    ] {
        let params = json!({"protocolVersion": asked, "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}});
        let answer = bridge
            .client()
            .post(&json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params}))
            .await;
        assert_eq!(answer.json()["result"]["protocolVersion"], agreed);
    }
}

#[tokio::test]
async fn session_lifecycle() {
    let bridge = Bridge::of_fixture(&["--era", "legacy"]).await;
    let list = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"});
    assert_eq!(bridge.client().post(&list).await.status, 400);
    let mut stranger = bridge.client();
    stranger.session = Some("nobody".into());
    assert_eq!(stranger.post(&list).await.status, 404);
    let client = session(&bridge).await;
    assert_eq!(client.post(&list).await.status, 200);
    let stream = client.listen().await;
    assert_eq!(client.delete().await.status, 204);
    assert!(stream.rest().await.is_empty(), "its stream ends");
    assert_eq!(client.post(&list).await.status, 404);
    assert_eq!(client.listen().await.status, 404);
    assert_eq!(client.delete().await.status, 404);
}

#[tokio::test]
async fn server_request_reaches_its_session() {
    let bridge = Bridge::of_fixture(&["--era", "legacy"]).await;
    let client = session(&bridge).await;
    let mut events = client
        .stream(&call(7, "ask", json!({"method": "elicitation/create"})))
        .await;
    let question = events.next().await.unwrap();
    assert_eq!(question["method"], "elicitation/create");
    let answer = json!({"jsonrpc": "2.0", "id": question["id"], "result": {"action": "accept", "content": {"n": 1.0}}});
    // Another session cannot answer it.
    let other = session(&bridge).await;
    assert_eq!(other.post(&answer).await.status, 202);
    let accepted = client.post(&answer).await;
    assert_eq!((accepted.status.as_u16(), accepted.body.len()), (202, 0));
    assert_eq!(client.post(&answer).await.status, 202, "again");
    let last = events.rest().await.pop().unwrap();
    let told = last["result"]["content"][0]["text"].as_str().unwrap();
    assert_eq!(last["id"], 7);
    assert!(
        told.contains(r#""result":{"action":"accept","content":{"n":1.0}}"#),
        "{told}"
    );
}

#[tokio::test]
async fn undeclared_capability_is_refused() {
    let bridge = Bridge::of_fixture(&["--era", "legacy"]).await;
    let mut client = bridge.client();
    let params =
        json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}});
    let answer = client
        .post(&json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params}))
        .await;
    client.session = Some(answer.headers["mcp-session-id"].to_str().unwrap().to_owned());
    let told = client
        .tool(1, "ask", json!({"method": "elicitation/create"}))
        .await
        .message()
        .to_string();
    assert!(told.contains("-32601"), "{told}");
}

#[tokio::test]
async fn cancellation_and_lost_connection() {
    let ledger = Ledger::new();
    let bridge = Bridge::of_fixture(&["--era", "legacy", "--ledger", ledger.path()]).await;
    let client = session(&bridge).await;
    let lost = tokio::spawn({
        let client = client.clone();
        async move { client.try_post(&call(1, "sleep", json!({"ms": 700}))).await.is_ok() }
    });
    ledger.begun(1).await;
    lost.abort();
    let sleeper = {
        let client = client.clone();
        tokio::spawn(async move { client.tool(2, "sleep", json!({"ms": 20_000})).await })
    };
    ledger.begun(2).await;
    eventually("the lost call ends", async || {
        client.tool(1, "echo", json!({"text": "x"})).await.status == 200
    })
    .await;
    assert!(!ledger.text().contains("cancelled"), "the lost one was cancelled");
    let params = json!({"requestId": 2, "reason": "enough"});
    client
        .post(&json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params}))
        .await;
    let ended = sleeper.await.unwrap();
    assert_eq!(
        (ended.status.as_u16(), ended.body.len()),
        (200, 0),
        "no answer comes for it"
    );
    ledger.cancelled("").await;
    assert_eq!(ledger.text().matches("cancelled").count(), 1);
    // The id is free again.
    assert_eq!(client.tool(2, "echo", json!({"text": "x"})).await.status, 200);
}

#[tokio::test]
async fn duplicate_request_id_is_refused() {
    let ledger = Ledger::new();
    let bridge = Bridge::of_fixture(&["--era", "legacy", "--ledger", ledger.path()]).await;
    let client = session(&bridge).await;
    let other = client.clone();
    let sleeper = tokio::spawn(async move { other.tool(5, "sleep", json!({"ms": 500})).await.status });
    ledger.begun(1).await;
    assert_eq!(client.tool(5, "echo", json!({})).await.status, 400);
    // In another session it means another call.
    assert_eq!(session(&bridge).await.tool(5, "echo", json!({})).await.status, 200);
    assert_eq!(sleeper.await.unwrap(), 200);
}

#[tokio::test]
async fn notifications_reach_open_streams() {
    let bridge = Bridge::of_fixture(&["--era", "legacy"]).await;
    let (first, second) = (session(&bridge).await, session(&bridge).await);
    let mut streams = [first.listen().await, second.listen().await];
    first
        .tool(1, "notify", json!({"method": "notifications/tools/list_changed"}))
        .await;
    for stream in &mut streams {
        assert_eq!(
            stream.next().await.unwrap()["method"],
            "notifications/tools/list_changed"
        );
    }
    // A log message is for the one who calls.
    let messages = first
        .stream(&call(2, "notify", json!({"method": "notifications/message"})))
        .await
        .rest()
        .await;
    assert_eq!(
        (messages.len(), &messages[0]["method"]),
        (2, &json!("notifications/message"))
    );
    first
        .tool(3, "notify", json!({"method": "notifications/prompts/list_changed"}))
        .await;
    assert_eq!(
        streams[1].next().await.unwrap()["method"],
        "notifications/prompts/list_changed"
    );
}

#[tokio::test]
async fn subscriptions_are_counted() {
    let bridge = Bridge::of_everything(&[], &["--era", "legacy"]).await;
    let (subscriber, other) = (session(&bridge).await, session(&bridge).await);
    let subscribe = |id: u64, method: &str| json!({"jsonrpc": "2.0", "id": id, "method": method, "params": {"uri": "test://watched-resource"}});
    for client in [&subscriber, &other] {
        assert_eq!(
            client.post(&subscribe(1, "resources/subscribe")).await.json()["result"],
            json!({})
        );
    }
    assert_eq!(
        other.post(&subscribe(2, "resources/unsubscribe")).await.json()["result"],
        json!({})
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_sessions() {
    let bridge = Bridge::of_fixture(&["--era", "legacy", "--out-of-order"]).await;
    let mut callers = Vec::new();
    for caller in 0..64u64 {
        let client = session(&bridge).await;
        callers.push(tokio::spawn(async move {
            for number in 0..30u64 {
                // All sessions use the same ids.
                let arguments = json!({"text": format!("{caller}/{number}"), "also": [caller, number]});
                let answer = client.tool(number, "echo", arguments.clone()).await.json();
                assert_eq!(
                    (&answer["result"]["structuredContent"], &answer["id"]),
                    (&arguments, &json!(number))
                );
            }
        }));
    }
    for caller in callers {
        caller.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn server_requests_never_cross_sessions() {
    let bridge = Bridge::of_fixture(&["--era", "legacy"]).await;
    let mut callers = Vec::new();
    for caller in 0..8u64 {
        let client = session(&bridge).await;
        callers.push(tokio::spawn(async move {
            let mut asked = 0;
            for number in 0..20u64 {
                let mut events = client
                    .stream(&call(number, "ask", json!({"method": "elicitation/create"})))
                    .await;
                while let Some(message) = events.next().await {
                    if message["method"] == "elicitation/create" {
                        asked += 1;
                        let answer = json!({"jsonrpc": "2.0", "id": message["id"], "result": {"by": caller}});
                        client.post(&answer).await;
                    } else {
                        let told = message["result"]["content"][0]["text"].as_str().unwrap();
                        let told: Value = serde_json::from_str(told).unwrap();
                        let mine = told["result"]["by"] == caller;
                        assert!(mine || told["error"]["code"] == -32603, "{told}");
                    }
                }
            }
            asked
        }));
    }
    let mut asked = 0;
    for caller in callers {
        asked += caller.await.unwrap();
    }
    println!("{asked} of 160 were asked while alone");
}
