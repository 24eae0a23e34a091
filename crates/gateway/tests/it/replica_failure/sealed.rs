//! Cursors, task ids and tokens work on every replica, also while keys are rotated.

use portolan_gateway::TokenKeys;
use serde_json::json;

use super::{ELICITATION, MULTI};
use crate::{
    support::{
        client::ClientVersion,
        dialogue::{call, respond, responses_to, result_text, resume_call},
        gateway::TestGateway,
        replicas::Replicas,
        servers::requesting::RequestingServer,
        upstreams::{Eras, everything},
    },
    tasks::with_tasks,
};

#[tokio::test]
async fn cursors_work_everywhere() {
    let upstream = everything(Eras::Both).await;
    let mut replicas = Replicas::start(
        TestGateway::builder()
            .server("up", upstream.url())
            .config(|config| config.limits.page = 2),
    )
    .await;
    for version in ClientVersion::EACH_ERA {
        let client = replicas.connect(version, "{}").await;
        let mut cursor = String::new();
        for _ in 0..MULTI {
            let answer = replicas.route(&client).call_method("tools/list", &cursor).await.json();
            assert!(
                answer["result"]["tools"]
                    .as_array()
                    .is_some_and(|tools| !tools.is_empty()),
                "{answer}"
            );
            let Some(next) = answer["result"].get("nextCursor") else {
                break;
            };
            cursor = format!(r#""cursor":{next}"#);
        }
        assert!(!cursor.is_empty());
    }
    let client = replicas.connect(ClientVersion::V2026_07_28, "{}").await;
    let cursor = client.call_method("tools/list", "").await.json()["result"]["nextCursor"].clone();
    replicas.kill_first();
    let answer = replicas
        .route(&client)
        .call_method("tools/list", &format!(r#""cursor":{cursor}"#))
        .await
        .json();
    assert!(answer["result"]["tools"].is_array(), "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn task_ids_work_everywhere() {
    let upstream = everything(Eras::Modern).await;
    let mut replicas = Replicas::with_server(upstream.url()).await;
    let client = replicas.connect(ClientVersion::V2026_07_28, "{}").await;
    client.tools().await;
    let params = json!({"name": "up__slow_compute", "arguments": {"seconds": 1, "label": "x"}});
    let created = with_tasks(&client, "tools/call", params).await["result"].clone();
    replicas.kill_first();
    let there = replicas.route(&client);
    there.tools().await;
    let task = with_tasks(&there, "tasks/get", json!({"taskId": created["taskId"]})).await;
    assert_eq!(task["result"]["taskId"], created["taskId"], "{task}");
    let bob = there.at(there.address).token("bob-token");
    let refused = with_tasks(&bob, "tasks/get", json!({"taskId": created["taskId"]})).await;
    assert_eq!(refused["error"]["code"], -32602);
}

/// The steps of a rotation as two replicas go through them: each pair of neighbours is there at the same time.
#[tokio::test]
async fn keys_rotate_while_serving() {
    let (old, new) = ([9; 32], [8; 32]);
    let keys = |first: bool| {
        let keys = if first {
            TokenKeys::new(1, &old).and_then(|keys| keys.with_older(2, &new))
        } else {
            TokenKeys::new(2, &new).and_then(|keys| keys.with_older(1, &old))
        };
        keys.expect("keys")
    };
    let server = RequestingServer::resumable().await;
    for (one_is_ahead, two_is_ahead) in [(true, false), (false, true)] {
        let mut replicas = Replicas::start(TestGateway::builder().server("up", server.url()).replica_parts(
            |number, parts| {
                parts.keys = keys(if number == 0 { one_is_ahead } else { two_is_ahead });
            },
        ))
        .await;
        let legacy = replicas.connect(ClientVersion::V2025_11_25, ELICITATION).await;
        let modern = replicas.connect(ClientVersion::V2026_07_28, ELICITATION).await;
        let arguments = json!({"tag": "t", "rounds": 2});
        let first = call(&modern, &arguments).await;
        let second = resume_call(&modern.at(replicas.second().address), &arguments, &responses_to(&first)).await;
        let third = resume_call(&modern, &arguments, &responses_to(&second)).await;
        assert_eq!(result_text(&third), "t:t,t");
        let mut incoming = legacy.begin(&legacy.call("\"1\"", "up__ask", r#"{"tag":"t"}"#)).await;
        let request = incoming.json().await;
        assert_eq!(respond(&legacy.at(replicas.second().address), &request).await, 202);
        assert_eq!(result_text(&incoming.json().await), "t:t");
        replicas.kill_first();
        assert_eq!(replicas.route(&legacy).call_method("ping", "").await.status(), 200);
        let state = call(&replicas.route(&modern), &json!({"tag": "u"})).await;
        let message = resume_call(&replicas.route(&modern), &json!({"tag": "u"}), &responses_to(&state)).await;
        assert_eq!(result_text(&message), "u:u");
    }
}
