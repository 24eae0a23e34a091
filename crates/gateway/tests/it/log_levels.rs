//! Levels of log messages, in all four pairings.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};

use crate::support::{
    client::{Client, ClientVersion},
    eventually,
    gateway::TestGateway,
    servers::notifying::NotifyingServer,
    servers::{Reply, legacy, scripted},
};

const LEVEL: &str = "io.modelcontextprotocol/logLevel";

async fn start(modern: bool, version: ClientVersion) -> (NotifyingServer, TestGateway, Client) {
    let server = NotifyingServer::start(modern).await;
    server.set_logs(&["debug", "info", "warning", "error"]);
    let gateway = TestGateway::with_server(server.url()).await;
    let client = gateway.connect(version).await;
    (server, gateway, client)
}

/// The levels that a call is told.
async fn logged(client: &Client, meta: &str) -> Vec<String> {
    let incoming = client
        .begin(&client.call_with(&client.next_id(), "up__t", "{}", meta))
        .await;
    let messages = incoming.messages().await.expect("a whole answer");
    let messages: Vec<Value> = messages
        .iter()
        .map(|text| serde_json::from_str(text).expect("JSON"))
        .collect();
    assert!(messages.last().expect("an answer")["result"].is_object());
    let logs = messages
        .iter()
        .filter(|message| message["method"] == "notifications/message");
    logs.map(|log| log["params"]["level"].as_str().expect("a level").to_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn level_is_set_before_call() {
    let knows = Arc::new(AtomicBool::new(false));
    let server = {
        let knows = knows.clone();
        scripted(move |request| match request.method() {
            "logging/setLevel" => {
                let (deferred, reply) = Reply::deferred();
                let (knows, done) = (knows.clone(), Reply::result(request, "{}"));
                tokio::spawn(async move {
                    // Long enough for a call that does not wait to overtake it.
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    knows.store(true, Ordering::Release);
                    deferred.give(done);
                });
                reply
            }
            "tools/call" => {
                let text = knows.load(Ordering::Acquire).to_string();
                Reply::result(request, json!({"content": [{"type": "text", "text": text}]}))
            }
            _ => legacy(request).unwrap_or_else(|| Reply::result(request, "{}")),
        })
        .await
    };
    let gateway = TestGateway::with_server(server.url()).await;
    let client = gateway.connect(ClientVersion::V2025_11_25).await;
    assert_eq!(client.text("up__t", json!({})).await, "false");
    client.call_method("logging/setLevel", r#""level":"info""#).await;
    // The server is being told by now, or will be by the call.
    assert_eq!(client.text("up__t", json!({})).await, "true");
}

#[tokio::test]
async fn legacy_server_told_once_per_session() {
    let (server, _site, client) = start(false, ClientVersion::V2025_11_25).await;
    logged(&client, "").await;
    assert!(server.params_of("logging/setLevel").is_empty(), "it has not said any");
    assert_eq!(
        client
            .call_method("logging/setLevel", r#""level":"warning""#)
            .await
            .json()["result"],
        json!({})
    );
    eventually("the open session is told", || {
        server.params_of("logging/setLevel") == [json!({"level": "warning"})]
    })
    .await;
    assert_eq!(logged(&client, "").await.len(), 4, "the server is the one to filter");
    logged(&client, "").await;
    assert_eq!(server.params_of("logging/setLevel").len(), 1);
    let (server, _site, client) = start(false, ClientVersion::V2025_06_18).await;
    client.call_method("logging/setLevel", r#""level":"error""#).await;
    assert!(server.params_of("logging/setLevel").is_empty());
    logged(&client, "").await;
    assert_eq!(
        server.params_of("logging/setLevel"),
        [json!({"level": "error"})],
        "before the first call"
    );
}

#[tokio::test]
async fn modern_server_told_per_request() {
    let (server, _site, client) = start(true, ClientVersion::V2025_11_25).await;
    logged(&client, r#""a":1"#).await;
    client.call_method("logging/setLevel", r#""level":"notice""#).await;
    assert_eq!(logged(&client, r#""a":1"#).await.len(), 4);
    let levels: Vec<_> = server
        .params_of("tools/call")
        .iter()
        .map(|params| params["_meta"][LEVEL].clone())
        .collect();
    assert_eq!(levels, [Value::Null, json!("notice")]);
    assert_eq!(server.params_of("tools/call")[1]["_meta"]["a"], 1);
    assert!(server.params_of("logging/setLevel").is_empty());
}

#[tokio::test]
async fn modern_client_logs_are_filtered() {
    let (server, _site, client) = start(false, ClientVersion::V2026_07_28).await;
    let asking = |level: &str| format!(r#""{LEVEL}":"{level}""#);
    assert!(logged(&client, "").await.is_empty());
    assert!(server.params_of("logging/setLevel").is_empty());
    assert_eq!(logged(&client, &asking("warning")).await, ["warning", "error"]);
    assert_eq!(logged(&client, &asking("emergency")).await.len(), 0);
    assert_eq!(logged(&client, &asking("debug")).await.len(), 4);
    assert_eq!(logged(&client, &asking("error")).await, ["error"]);
    assert!(logged(&client, "").await.is_empty());
    // The shared session is only ever made to say more.
    let set: Vec<_> = server
        .params_of("logging/setLevel")
        .iter()
        .map(|params| params["level"].clone())
        .collect();
    assert_eq!(set, ["warning", "debug"]);
}

#[tokio::test]
async fn modern_pairing_passes_level() {
    let (server, _site, client) = start(true, ClientVersion::V2026_07_28).await;
    assert_eq!(logged(&client, &format!(r#""{LEVEL}":"info""#)).await.len(), 4);
    assert_eq!(server.params_of("tools/call")[0]["_meta"][LEVEL], "info");
}

#[tokio::test]
async fn invalid_level_is_refused() {
    let (_teller, _site, client) = start(true, ClientVersion::V2025_11_25).await;
    for odd in ["", r#""level":"loud""#, r#""level":3"#] {
        assert_eq!(
            client.call_method("logging/setLevel", odd).await.code(),
            -32602,
            "{odd}"
        );
    }
    let (_teller, _site, client) = start(true, ClientVersion::V2026_07_28).await;
    let answer = client
        .send(&client.call_with("1", "up__t", "{}", &format!(r#""{LEVEL}":"loud""#)))
        .await;
    assert_eq!(answer.code(), -32602);
}
