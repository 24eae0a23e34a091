//! The tasks of 2025-11-25, between legacy clients and servers.

use portolan_core::ServerRequestPolicy;
use portolan_gateway::Upstream;
use serde_json::{Value, json};

use crate::support::{
    client::{Client, ClientVersion},
    gateway::TestGateway,
    raw::ResponseStream,
    upstreams::{Eras, everything},
};

const RELATED: &str = "io.modelcontextprotocol/related-task";
const ELICITATION: &str = r#"{"elicitation":{}}"#;

/// A client of a session that was told of tasks.
async fn connect(gateway: &TestGateway) -> Client {
    gateway.connect(ClientVersion::V2025_11_25).await.tools().await;
    gateway.connect_with(ClientVersion::V2025_11_25, ELICITATION).await
}

async fn ask(client: &Client, method: &str, params: Value) -> Value {
    let params = params.to_string();
    let inside = &params[1..params.len() - 1];
    let post = client.request(&client.next_id(), method, inside, "");
    let messages = client.begin(&post).await.messages().await.expect("whole");
    serde_json::from_str(messages.last().expect("an answer")).expect("JSON")
}

async fn create(client: &Client, tool: &str, arguments: Value) -> Value {
    let params = json!({"name": tool, "arguments": arguments, "task": {"ttl": 60_000}});
    let created = ask(client, "tools/call", params).await;
    let task = created["result"]["task"].clone();
    assert_eq!(task["status"], "working", "{created}");
    task["taskId"].clone()
}

async fn next(incoming: &mut ResponseStream) -> Value {
    let text = incoming.event().await.expect("whole").expect("an event");
    serde_json::from_str(&text).expect("JSON")
}

async fn listed(client: &Client) -> Vec<Value> {
    let list = ask(client, "tasks/list", json!({})).await;
    let tasks = list["result"]["tasks"]
        .as_array()
        .unwrap_or_else(|| panic!("no list: {list}"));
    tasks.iter().map(|task| task["taskId"].clone()).collect()
}

#[tokio::test]
async fn capability_is_declared_per_session() {
    let (legacy, modern) = (everything(Eras::Legacy).await, everything(Eras::Modern).await);
    let gateway = TestGateway::builder().server("a", legacy.url()).start().await;
    let without = TestGateway::builder().server("a", modern.url()).start().await;
    for place in [&gateway, &without] {
        connect(place).await;
    }
    // What the gateway can relay is declared, whatever its servers have now; tools say what they have themselves.
    for (place, version, declared, has) in [
        (&gateway, ClientVersion::V2025_11_25, true, true),
        (&gateway, ClientVersion::V2025_06_18, false, false),
        (&gateway, ClientVersion::V2025_03_26, false, false),
        (&without, ClientVersion::V2025_11_25, true, false),
    ] {
        let mut client = place.client(version);
        let hello = client.handshake().await.expect("a handshake").json();
        let tasks = &hello["result"]["capabilities"]["tasks"];
        let wanted = json!({"list": {}, "cancel": {}, "requests": {"tools": {"call": {}}}});
        assert_eq!(*tasks, if declared { wanted } else { Value::Null }, "{version:?}");
        let tools = client.call_method("tools/list", "").await.json();
        let tools = tools["result"]["tools"].as_array().expect("tools");
        let job = tools
            .iter()
            .find(|tool| tool["name"] == "a__failing_job")
            .expect("a job");
        assert_eq!(job["execution"]["taskSupport"] == "required", has, "{version:?}");
        let refused = client.call_method("tasks/get", r#""taskId":"x""#).await;
        let known = version == ClientVersion::V2025_11_25;
        assert_eq!(refused.code(), if known { -32602 } else { -32601 }, "{version:?}");
    }
}

#[tokio::test]
async fn task_id_works_on_every_replica() {
    let server = everything(Eras::Legacy).await;
    let [one, other] = TestGateway::builder()
        .server("up", server.url())
        .server_requests(ServerRequestPolicy::ALL)
        .start_replicas()
        .await;
    let client = connect(&one).await;
    let elsewhere = client.at(other.address);
    let id = create(&client, "up__slow_compute", json!({"seconds": 0.1, "label": "x"})).await;
    for at in [&elsewhere, &client] {
        let task = ask(at, "tasks/get", json!({"taskId": id})).await["result"].clone();
        assert_eq!((&task["taskId"], &task["ttl"]), (&id, &json!(300_000)), "{task}");
        let result = ask(at, "tasks/result", json!({"taskId": id})).await["result"].clone();
        assert_eq!(result["content"][0]["text"], "x: computed for 0.1 s", "{result}");
        assert_eq!(result["_meta"][RELATED], json!({"taskId": id}));
        assert_eq!(listed(at).await, std::slice::from_ref(&id));
    }
    let over = ask(&elsewhere, "tasks/cancel", json!({"taskId": id})).await;
    assert_eq!(over["error"]["code"], -32602, "{over}");
    let long = create(&elsewhere, "up__slow_compute", json!({"seconds": 60})).await;
    let cancelled = ask(&client, "tasks/cancel", json!({"taskId": long})).await["result"].clone();
    assert_eq!(
        (&cancelled["taskId"], &cancelled["status"]),
        (&long, &json!("cancelled"))
    );
    assert_eq!(server.tasks_begun(), 2);
}

#[tokio::test]
async fn task_requests_on_result_stream() {
    let server = everything(Eras::Legacy).await;
    let [one, other] = TestGateway::builder()
        .server("up", server.url())
        .server_requests(ServerRequestPolicy::ALL)
        .start_replicas()
        .await;
    let client = connect(&one).await;
    let elsewhere = client.at(other.address);
    let id = create(&client, "up__multi_input", json!({})).await;
    let task = ask(&client, "tasks/get", json!({"taskId": id})).await;
    assert_eq!(task["result"]["status"], "input_required", "{task}");
    let params = format!(r#""taskId":{id}"#);
    let mut incoming = elsewhere
        .begin(&elsewhere.request("9", "tasks/result", &params, ""))
        .await;
    for name in ["Ada", "Bea"] {
        let question = next(&mut incoming).await;
        assert_eq!(
            question["params"]["_meta"][RELATED],
            json!({"taskId": id}),
            "{question}"
        );
        let result = json!({"action": "accept", "content": {"name": name}, "_meta": {RELATED: {"taskId": id}}});
        let body = json!({"jsonrpc": "2.0", "id": question["id"], "result": result});
        assert_eq!(client.send(&client.post(body.to_string())).await.status(), 202);
    }
    let answer = next(&mut incoming).await;
    assert_eq!(answer["result"]["content"][0]["text"], "Ada and Bea", "{answer}");
    assert_eq!(server.tasks_begun(), 1);
}

#[tokio::test]
async fn status_arrives_on_session_stream() {
    let server = everything(Eras::Legacy).await;
    let gateway = TestGateway::with_server(server.url()).await;
    let client = connect(&gateway).await;
    client.tool("up__greet", json!({"name": "x"})).await;
    let mut stream = client.stream().await;
    client.tool("up__greet", json!({"name": "x"})).await;
    let id = create(&client, "up__slow_compute", json!({"seconds": 0.3})).await;
    let told = loop {
        let message = stream.json().await;
        if message["method"] == "notifications/tasks/status" {
            break message;
        }
    };
    assert_eq!(
        (&told["params"]["taskId"], &told["params"]["status"]),
        (&id, &json!("completed")),
        "{told}"
    );
}

#[tokio::test]
async fn foreign_task_is_unknown() {
    let server = everything(Eras::Legacy).await;
    let gateway = TestGateway::with_server(server.url()).await;
    let alice = connect(&gateway).await;
    let id = create(&alice, "up__slow_compute", json!({"seconds": 60})).await;
    let mut bob = gateway.client(ClientVersion::V2025_11_25).token("bob-token");
    bob.handshake().await;
    for method in ["tasks/get", "tasks/result", "tasks/cancel"] {
        let refused = ask(&bob, method, json!({"taskId": id})).await;
        assert_eq!(
            refused["error"],
            json!({"code": -32602, "message": "unknown task"}),
            "{method}"
        );
    }
    assert!(listed(&bob).await.is_empty());
    // A modern server's would be another kind of task.
    let modern = gateway.connect_with(ClientVersion::V2026_07_28, super::TASKS).await;
    let refused = super::with_tasks(&modern, "tasks/get", json!({"taskId": "x"})).await;
    assert_eq!(refused["error"]["code"], -32602);
    let task = ask(&alice, "tasks/get", json!({"taskId": id})).await;
    assert_eq!(task["result"]["status"], "working", "{task}");
    server.forget_tasks();
    let lost = ask(&alice, "tasks/get", json!({"taskId": id})).await;
    assert_eq!(lost["error"]["code"], -32602, "{lost}");
    assert!(listed(&alice).await.is_empty());
}

#[tokio::test]
async fn tasks_are_listed_in_pages() {
    let servers = (everything(Eras::Legacy).await, everything(Eras::Legacy).await);
    let upstreams = [
        ("a", Upstream::http(servers.0.url())),
        ("b", Upstream::http(servers.1.url())),
    ];
    let gateway = TestGateway::builder().upstreams(upstreams).start().await;
    let client = connect(&gateway).await;
    let mut wanted = Vec::new();
    for at in 0..40 {
        let tool = if at % 2 == 0 {
            "a__slow_compute"
        } else {
            "b__slow_compute"
        };
        wanted.push(create(&client, tool, json!({"seconds": 0})).await);
    }
    let (mut seen, mut params) = (Vec::new(), json!({}));
    loop {
        let page = ask(&client, "tasks/list", params.clone()).await["result"].clone();
        seen.extend(
            page["tasks"]
                .as_array()
                .expect("tasks")
                .iter()
                .map(|task| task["taskId"].clone()),
        );
        match page.get("nextCursor") {
            Some(next) => params = json!({"cursor": next}),
            None => break,
        }
    }
    assert_eq!(seen, wanted);
    let odd = ask(&client, "tasks/list", json!({"cursor": "odd"})).await;
    assert_eq!(odd["error"]["code"], -32602);
}

#[tokio::test]
async fn call_without_task_support_runs() {
    let (legacy, modern) = (everything(Eras::Legacy).await, everything(Eras::Modern).await);
    let upstreams = [("a", Upstream::http(legacy.url())), ("b", Upstream::http(modern.url()))];
    let gateway = TestGateway::builder().upstreams(upstreams).start().await;
    let client = connect(&gateway).await;
    for (tool, arguments, text) in [
        ("a__greet", json!({"name": "Ada"}), "Hello, Ada!"),
        (
            "b__slow_compute",
            json!({"seconds": 0, "label": "x"}),
            "x: computed for 0 s",
        ),
        // The server insists on a task; the gateway drives it.
        ("b__failing_job", json!({}), "The job failed, as it always does"),
    ] {
        let params = json!({"name": tool, "arguments": arguments, "task": {"ttl": 1}});
        let answer = ask(&client, "tools/call", params).await;
        assert_eq!(answer["result"]["content"][0]["text"], text, "{tool}: {answer}");
    }
    let older = gateway.connect(ClientVersion::V2025_06_18).await;
    let params = json!({"name": "a__slow_compute", "arguments": {"seconds": 0, "label": "x"}, "task": {}});
    let answer = ask(&older, "tools/call", params).await;
    assert_eq!(
        answer["result"]["content"][0]["text"], "x: computed for 0 s",
        "{answer}"
    );
}
