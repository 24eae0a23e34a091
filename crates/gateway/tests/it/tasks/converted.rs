//! Tasks of legacy servers, for modern clients: those that know tasks, and those that do not.

use portolan_core::ServerRequestPolicy;
use portolan_gateway::Upstream;
use serde_json::{Value, json};

use super::{TASKS, with_tasks};
use crate::support::{
    client::{Client, ClientVersion},
    eventually, eventually_async,
    gateway::TestGateway,
    upstreams::{Eras, everything, everything_stdio},
};

async fn connect(gateway: &TestGateway, capabilities: &str) -> Client {
    let client = gateway.connect_with(ClientVersion::V2026_07_28, capabilities).await;
    client.tools().await;
    client
}

async fn create(client: &Client, tool: &str, arguments: Value) -> Value {
    let params = json!({"name": tool, "arguments": arguments});
    let created = with_tasks(client, "tools/call", params).await["result"].clone();
    assert_eq!(created["resultType"], "task", "{created}");
    for (member, there) in [
        ("ttlMs", true),
        ("pollIntervalMs", true),
        ("ttl", false),
        ("task", false),
    ] {
        assert_eq!(created.get(member).is_some(), there, "{member}: {created}");
    }
    created["taskId"].clone()
}

async fn get(client: &Client, id: &Value) -> Value {
    with_tasks(client, "tasks/get", json!({"taskId": id})).await["result"].clone()
}

/// The task, once it has another status than `working`.
async fn moved(client: &Client, id: &Value) -> Value {
    let mut task = Value::Null;
    eventually_async("the task has left `working`", async || {
        task = get(client, id).await;
        assert_eq!(
            (&task["taskId"], &task["resultType"]),
            (id, &json!("complete")),
            "{task}"
        );
        task["status"] != "working"
    })
    .await;
    task
}

#[tokio::test]
async fn task_outcomes_are_converted() {
    let server = everything(Eras::Legacy).await;
    let [one, other] = TestGateway::builder()
        .server("up", server.url())
        .server_requests(ServerRequestPolicy::ALL)
        .start_replicas()
        .await;
    let client = connect(&one, TASKS).await;
    let elsewhere = client.at(other.address);
    let discovered = client.result_of("server/discover", json!({})).await;
    assert_eq!(
        discovered["capabilities"]["extensions"],
        json!({"io.modelcontextprotocol/tasks": {}})
    );
    let id = create(&client, "up__slow_compute", json!({"seconds": 0.1, "label": "x"})).await;
    let done = moved(&elsewhere, &id).await;
    assert_eq!(done["status"], "completed", "{done}");
    let wanted = json!({"resultType": "complete", "content": [{"type": "text", "text": "x: computed for 0.1 s"}]});
    assert_eq!(done["result"], wanted);
    // What a tool says of itself is no failure of the task.
    let id = create(&client, "up__failing_job", json!({})).await;
    let done = moved(&elsewhere, &id).await;
    assert_eq!(
        (&done["status"], &done["result"]["isError"]),
        (&json!("completed"), &json!(true)),
        "{done}"
    );
    let id = create(&client, "up__protocol_error_job", json!({})).await;
    let failed = moved(&elsewhere, &id).await;
    assert_eq!(
        (&failed["status"], &failed["error"]["code"]),
        (&json!("failed"), &json!(-32603)),
        "{failed}"
    );
    assert!(failed.get("result").is_none());
    assert_eq!(server.tasks_begun(), 3);
    // What is never a task is none.
    let greeted = with_tasks(
        &client,
        "tools/call",
        json!({"name": "up__greet", "arguments": {}, "task": {}}),
    )
    .await;
    assert_eq!(greeted["result"]["resultType"], "complete", "{greeted}");
}

#[tokio::test]
async fn task_requests_through_any_replica() {
    let server = everything(Eras::Legacy).await;
    let [one, other] = TestGateway::builder()
        .server("up", server.url())
        .server_requests(ServerRequestPolicy::ALL)
        .start_replicas()
        .await;
    let client = connect(&one, TASKS).await;
    let elsewhere = client.at(other.address);
    let id = create(&client, "up__multi_input", json!({})).await;
    let asked = moved(&client, &id).await;
    assert_eq!(asked["status"], "input_required", "{asked}");
    let there = moved(&elsewhere, &id).await;
    assert_eq!(
        there["inputRequests"], asked["inputRequests"],
        "the same questions everywhere"
    );
    let keys: Vec<String> = asked["inputRequests"]
        .as_object()
        .expect("questions")
        .keys()
        .cloned()
        .collect();
    assert_eq!(keys.len(), 2, "{asked}");
    assert!(
        asked["inputRequests"][&keys[0]]["params"].get("_meta").is_none(),
        "{asked}"
    );
    for (at, (key, name)) in [&elsewhere, &client].into_iter().zip(keys.iter().zip(["Ada", "Bea"])) {
        let before = moved(at, &id).await;
        assert!(before["inputRequests"].get(key).is_some(), "{before}");
        let said = json!({"action": "accept", "content": {"name": name}});
        let answers = json!({key: said, "unknown": said});
        let ack = with_tasks(at, "tasks/update", json!({"taskId": id, "inputResponses": answers})).await;
        assert_eq!(ack["result"], json!({"resultType": "complete"}), "{ack}");
        let after = get(at, &id).await;
        assert!(after["inputRequests"].get(key).is_none(), "{after}");
    }
    let done = moved(&elsewhere, &id).await;
    assert_eq!(done["result"]["content"][0]["text"], "Ada and Bea", "{done}");
    assert_eq!(server.tasks_begun(), 1);
}

#[tokio::test]
async fn abandoned_task_accepts_responses() {
    let server = everything(Eras::Legacy).await;
    let gateway = TestGateway::builder()
        .server("up", server.url())
        .server_requests(ServerRequestPolicy::ALL)
        .config(|config| config.timeouts.server_request = std::time::Duration::from_millis(200))
        .start()
        .await;
    let client = connect(&gateway, TASKS).await;
    let id = create(&client, "up__confirm_delete", json!({"filename": "f"})).await;
    let asked = moved(&client, &id).await;
    let key = asked["inputRequests"]
        .as_object()
        .expect("questions")
        .keys()
        .next()
        .expect("one")
        .clone();
    eventually("the stream of its result is let go", || server.cancelled() == 1).await;
    assert_eq!(get(&client, &id).await["inputRequests"], asked["inputRequests"]);
    let said = json!({key: {"action": "accept", "content": {"confirm": true}}});
    with_tasks(&client, "tasks/update", json!({"taskId": id, "inputResponses": said})).await;
    let done = moved(&client, &id).await;
    assert_eq!(
        done["result"]["content"][0]["text"], "Deletion of f confirmed: true",
        "{done}"
    );
}

#[tokio::test]
async fn followed_tasks_bounded_per_caller() {
    let server = everything(Eras::Legacy).await;
    let gateway = TestGateway::builder()
        .server("up", server.url())
        .server_requests(ServerRequestPolicy::ALL)
        .config(|config| config.limits.suspended_per_caller = 1)
        .start()
        .await;
    let client = connect(&gateway, TASKS).await;
    let first = create(&client, "up__multi_input", json!({})).await;
    assert_eq!(moved(&client, &first).await["status"], "input_required");
    let second = create(&client, "up__multi_input", json!({})).await;
    let refused = with_tasks(&client, "tasks/get", json!({"taskId": second})).await;
    let failure = &refused["error"]["data"]["dev.portolan/failure"];
    assert_eq!(failure["cause"], "overloaded", "{refused}");
    // Others are not kept from theirs.
    let bob = client.at(gateway.address).token("bob-token");
    let his = create(&bob, "up__multi_input", json!({})).await;
    assert_eq!(moved(&bob, &his).await["status"], "input_required");
}

#[tokio::test]
async fn only_caller_can_cancel() {
    let server = everything(Eras::Legacy).await;
    let gateway = TestGateway::requesting(server.url()).start().await;
    let alice = connect(&gateway, TASKS).await;
    let id = create(&alice, "up__slow_compute", json!({"seconds": 60})).await;
    let bob = alice.at(gateway.address).token("bob-token");
    for method in ["tasks/get", "tasks/cancel"] {
        let refused = with_tasks(&bob, method, json!({"taskId": id})).await;
        assert_eq!(
            refused["error"],
            json!({"code": -32602, "message": "unknown task"}),
            "{method}"
        );
    }
    assert_eq!(get(&alice, &id).await["status"], "working");
    for _ in 0..2 {
        let ack = with_tasks(&alice, "tasks/cancel", json!({"taskId": id})).await;
        assert_eq!(ack["result"], json!({"resultType": "complete"}), "{ack}");
        assert_eq!(get(&alice, &id).await["status"], "cancelled");
    }
    server.forget_tasks();
    for method in ["tasks/get", "tasks/cancel"] {
        let lost = with_tasks(&alice, method, json!({"taskId": id})).await;
        assert_eq!(lost["error"]["code"], -32602, "{method}");
    }
}

#[tokio::test]
async fn task_only_tool_is_driven() {
    let server = everything(Eras::Legacy).await;
    let [one, other] = TestGateway::builder()
        .server("up", server.url())
        .server_requests(ServerRequestPolicy::ALL)
        .start_replicas()
        .await;
    let client = connect(&one, r#"{"elicitation":{}}"#).await;
    let elsewhere = client.at(other.address);
    let failed = client.tool("up__failing_job", json!({})).await;
    assert_eq!(
        failed["result"]["content"][0]["text"], "The job failed, as it always does",
        "{failed}"
    );
    assert_eq!(failed["result"]["resultType"], "complete");
    assert_eq!(server.tasks_begun(), 1);
    let mut extra = String::new();
    let mut places = [&client, &elsewhere].into_iter();
    let answer = loop {
        let at = places.next().expect("one question");
        let params = format!(r#""name":"up__test_tool_with_task","arguments":{{}}{extra}"#);
        let post = at.request(&at.next_id(), "tools/call", &params, "");
        let messages = at.begin(&post).await.messages().await.expect("whole");
        let answer: Value = serde_json::from_str(messages.last().expect("an answer")).expect("JSON");
        if answer["result"]["resultType"] != "input_required" {
            break answer;
        }
        let key = answer["result"]["inputRequests"]
            .as_object()
            .expect("questions")
            .keys()
            .next();
        let said = json!({key.expect("one"): {"action": "accept", "content": {"name": "Ada"}}});
        let state = &answer["result"]["requestState"];
        extra = format!(r#","inputResponses":{said},"requestState":{state}"#);
    };
    assert_eq!(
        answer["result"]["content"][0]["text"], "The job was done for Ada",
        "{answer}"
    );
    assert_eq!(server.tasks_begun(), 2);
}

#[tokio::test]
async fn disconnect_cancels_driven_task() {
    let server = everything(Eras::Legacy).await;
    let gateway = TestGateway::requesting(server.url()).start().await;
    let client = connect(&gateway, "{}").await;
    let knowing = connect(&gateway, TASKS).await;
    let incoming = client.begin(&client.call("7", "up__failing_job", "{}")).await;
    eventually("it has begun", || server.tasks_begun() == 1).await;
    drop(incoming);
    eventually("the task is cancelled", || server.tasks_cancelled() == 1).await;
    // The server is there for others.
    let id = create(&knowing, "up__slow_compute", json!({"seconds": 0})).await;
    assert_eq!(moved(&knowing, &id).await["status"], "completed");
}

#[tokio::test]
async fn task_eras_stay_separate() {
    let servers = (everything(Eras::Legacy).await, everything(Eras::Modern).await);
    let upstreams = [
        ("a", Upstream::http(servers.0.url())),
        ("b", Upstream::http(servers.1.url())),
    ];
    let gateway = TestGateway::builder().upstreams(upstreams).start().await;
    let client = connect(&gateway, TASKS).await;
    let ids = [
        create_any(&client, "a__slow_compute").await,
        create_any(&client, "b__slow_compute").await,
    ];
    // A legacy client of the same caller knows the one that is of its era.
    let legacy = gateway.connect(ClientVersion::V2025_11_25).await;
    for (id, known) in ids.iter().zip([true, false]) {
        let answer = legacy
            .call_method("tasks/get", &format!(r#""taskId":{id}"#))
            .await
            .json();
        assert_eq!(answer.get("result").is_some(), known, "{answer}");
        assert!(get(&client, id).await["status"].is_string());
    }
    // The tasks of a legacy server are not told of.
    let (_stream, first) = client
        .listen("1", &format!(r#""taskIds":[{},{}]"#, ids[0], ids[1]))
        .await;
    assert_eq!(first["params"]["notifications"]["taskIds"], json!([ids[1]]));
}

async fn create_any(client: &Client, tool: &str) -> Value {
    let params = json!({"name": tool, "arguments": {"seconds": 60}});
    with_tasks(client, "tools/call", params).await["result"]["taskId"].clone()
}

#[tokio::test]
async fn stdio_tasks_complete() {
    let server = everything_stdio("legacy");
    let gateway = TestGateway::builder().upstream("up", server.upstream()).start().await;
    let client = connect(&gateway, TASKS).await;
    let discovered = client.result_of("server/discover", json!({})).await;
    assert_eq!(
        discovered["capabilities"]["extensions"],
        json!({"io.modelcontextprotocol/tasks": {}})
    );
    let id = create(&client, "up__slow_compute", json!({"seconds": 0.1, "label": "x"})).await;
    let done = moved(&client, &id).await;
    assert_eq!(done["result"]["content"][0]["text"], "x: computed for 0.1 s", "{done}");
    let id = create(&client, "up__slow_compute", json!({"seconds": 60})).await;
    let bob = client.at(gateway.address).token("bob-token");
    let refused = with_tasks(&bob, "tasks/get", json!({"taskId": id})).await;
    assert_eq!(refused["error"]["code"], -32602, "{refused}");
    with_tasks(&client, "tasks/cancel", json!({"taskId": id})).await;
    assert_eq!(get(&client, &id).await["status"], "cancelled");
    // What a task wants to know is answered by nobody, and it goes on without.
    let id = create(&client, "up__confirm_delete", json!({"filename": "f"})).await;
    let done = moved(&client, &id).await;
    assert_eq!(done["status"], "completed", "{done}");
    // Who knows no tasks has them driven.
    let client = connect(&gateway, "{}").await;
    let failed = client.tool("up__failing_job", json!({})).await;
    assert_eq!(
        failed["result"]["content"][0]["text"], "The job failed, as it always does",
        "{failed}"
    );
}
