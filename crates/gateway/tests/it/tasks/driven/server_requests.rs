//! Requests of driven tasks to their client.

use std::{collections::HashSet, sync::Arc, time::Duration};

use portolan_core::ServerRequestPolicy;
use portolan_core::{Clock, SystemClock, memory::ManualClock};
use serde_json::{Value, json};

use super::{ELICITATION, call, cause, driving, next, text};
use crate::support::{
    client::{Client, ClientVersion},
    eventually,
    gateway::TestGateway,
    servers::tasks::{TaskServer, completed, input_required},
    upstreams::{Eras, everything},
};

#[tokio::test]
async fn legacy_client_responds_across_replicas() {
    let server = TaskServer::start(input_required(&["first", "second"])).await;
    let [one, other] = TestGateway::builder()
        .server("up", server.url())
        .server_requests(ServerRequestPolicy::ALL)
        .config(|config| config.drive_tasks = true)
        .start_replicas()
        .await;
    let client = one.connect_with(ClientVersion::V2025_11_25, ELICITATION).await;
    let elsewhere = client.at(other.address);
    let mut incoming = client.begin(&call(&client)).await;
    let mut asked = Vec::new();
    for _ in 0..2 {
        let question = next(&mut incoming).await;
        assert_eq!(question["method"], "elicitation/create");
        asked.push(question);
    }
    server.plan().after_update = Some(input_required(&["first", "third"]));
    for question in asked {
        let said = json!({"action": "accept", "content": {"name": question["params"]["message"]}});
        let body = json!({"jsonrpc": "2.0", "id": question["id"], "result": said});
        assert_eq!(elsewhere.send(&elsewhere.post(body.to_string())).await.status(), 202);
    }
    // What was answered may still be shown for a while, and is not asked again.
    let question = next(&mut incoming).await;
    assert_eq!(question["params"]["message"], "third");
    let refused = json!({"jsonrpc": "2.0", "id": question["id"], "error": {"code": -1, "message": "no"}});
    server.plan().after_update = Some(completed("asked"));
    client.send(&client.post(refused.to_string())).await;
    assert_eq!(text(&next(&mut incoming).await), "asked");
    let plan = server.plan();
    assert_eq!(
        plan.responses,
        [
            json!({"first": {"action": "accept", "content": {"name": "first"}},
                "second": {"action": "accept", "content": {"name": "second"}}}),
            json!({"third": {"action": "cancel"}}),
        ]
    );
    assert_eq!(plan.executions, 1);
}

/// One request of a modern client, with what it brings.
async fn modern(client: &Client, extra: &Value) -> Value {
    let extra: String = extra
        .as_object()
        .expect("an object")
        .iter()
        .map(|(key, value)| format!(",\"{key}\":{value}"))
        .collect();
    let params = format!(r#""name":"up__t","arguments":{{"x":1}}{extra}"#);
    let post = client.request(&client.next_id(), "tools/call", &params, "");
    let messages = client.begin(&post).await.messages().await.expect("whole");
    serde_json::from_str(messages.last().expect("an answer")).expect("JSON")
}

#[tokio::test]
async fn modern_client_responds_across_replicas() {
    let server = TaskServer::start(input_required(&["a", "b"])).await;
    let [one, other] = TestGateway::builder()
        .server("up", server.url())
        .server_requests(ServerRequestPolicy::ALL)
        .config(|config| config.drive_tasks = true)
        .start_replicas()
        .await;
    let client = one.connect_with(ClientVersion::V2026_07_28, ELICITATION).await;
    let elsewhere = client.at(other.address);
    let asked = modern(&client, &json!({})).await["result"].clone();
    assert_eq!(asked["resultType"], "input_required", "{asked}");
    let keys: Vec<_> = asked["inputRequests"].as_object().expect("questions").keys().collect();
    assert_eq!(keys, ["a", "b"]);
    drop(one);
    // One answer is missing: it alone is asked again.
    server.plan().after_update = Some(input_required(&["a", "b"]));
    let said = json!({"action": "accept", "content": {"name": "x"}});
    let extra = json!({"requestState": asked["requestState"], "inputResponses": {"a": said, "b": 3}});
    let again = modern(&elsewhere, &extra).await["result"].clone();
    let keys: Vec<_> = again["inputRequests"].as_object().expect("questions").keys().collect();
    assert_eq!(keys, ["b"]);
    server.plan().after_update = Some(completed("asked"));
    let extra = json!({"requestState": again["requestState"], "inputResponses": {"b": said}});
    let bob = elsewhere.at(other.address).token("bob-token");
    let foreign = modern(&bob, &extra).await;
    assert_eq!(foreign["error"]["code"], -32602, "{foreign}");
    assert_eq!(text(&modern(&elsewhere, &extra).await), "asked");
    let plan = server.plan();
    assert_eq!(plan.responses, [json!({"a": said}), json!({"b": said})]);
    assert_eq!((plan.refusals, plan.executions), (1, 1));
    drop(plan);
    assert_eq!(server.cancelled(), 0);
}

#[tokio::test]
async fn task_requests_are_bounded() {
    for version in ClientVersion::EACH_ERA {
        let server = TaskServer::start(input_required(&["a"])).await;
        let gateway = driving(server.url())
            .config(|config| config.limits.rounds = 0)
            .start()
            .await;
        let unable = gateway.connect(version).await;
        let able = gateway.connect_with(version, ELICITATION).await;
        assert_eq!(cause(&able.tool("up__t", json!({})).await), "overloaded", "{version:?}");
        eventually("the task is cancelled", || server.cancelled() == 1).await;
        server.plan().task = input_required(&["a"]);
        let refused = unable.tool("up__t", json!({})).await;
        assert!(refused["result"]["isError"] == true, "{refused}");
        eventually("this one too", || server.cancelled() == 2).await;
    }
}

#[tokio::test]
async fn late_client_finds_task_cancelled() {
    let clock = Arc::new(ManualClock::new(SystemClock.now()));
    let server = TaskServer::start(input_required(&["a"])).await;
    let gateway = driving(server.url())
        .config(|config| config.timeouts.task = Duration::from_secs(1))
        .clock(clock.clone())
        .start()
        .await;
    let client = gateway.connect_with(ClientVersion::V2026_07_28, ELICITATION).await;
    let asked = modern(&client, &json!({})).await["result"].clone();
    assert_eq!(asked["resultType"], "input_required", "{asked}");
    clock.advance(Duration::from_millis(1100));
    let said = json!({"a": {"action": "decline"}});
    let extra = json!({"requestState": asked["requestState"], "inputResponses": said});
    assert_eq!(cause(&modern(&client, &extra).await), "timeout");
    eventually("the task is cancelled", || server.cancelled() == 1).await;
    assert_eq!(server.plan().executions, 1);
}

#[tokio::test]
async fn request_precedes_task() {
    let server = everything(Eras::Modern).await;
    let gateway = driving(server.url()).start().await;
    let mut texts = HashSet::new();
    let legacy = gateway.connect_with(ClientVersion::V2025_11_25, ELICITATION).await;
    let mut incoming = legacy.begin(&legacy.call("7", "up__test_tool_with_task", "{}")).await;
    let question = next(&mut incoming).await;
    let said = json!({"action": "accept", "content": {"name": "Ada"}});
    let body = json!({"jsonrpc": "2.0", "id": question["id"], "result": said});
    legacy.send(&legacy.post(body.to_string())).await;
    texts.insert(text(&next(&mut incoming).await).to_owned());
    let client = gateway.connect_with(ClientVersion::V2026_07_28, ELICITATION).await;
    let mut extra = String::new();
    for _ in 0..2 {
        let params = format!(r#""name":"up__test_tool_with_task","arguments":{{}}{extra}"#);
        let post = client.request(&client.next_id(), "tools/call", &params, "");
        let messages = client.begin(&post).await.messages().await.expect("whole");
        let answer: Value = serde_json::from_str(messages.last().expect("an answer")).expect("JSON");
        if answer["result"]["resultType"] == "complete" {
            texts.insert(text(&answer).to_owned());
            break;
        }
        let key = answer["result"]["inputRequests"]
            .as_object()
            .expect("questions")
            .keys()
            .next();
        extra = format!(r#","inputResponses":{}"#, json!({key.expect("one"): said}));
        if let Some(state) = answer["result"].get("requestState") {
            extra += &format!(r#","requestState":{state}"#);
        }
    }
    assert_eq!(texts, HashSet::from(["The job was done for Ada".to_owned()]));
}
