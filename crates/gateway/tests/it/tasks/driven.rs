//! Calls that a modern server does only as tasks, of clients that know none: the gateway asks for the task.

use std::{collections::HashSet, sync::Arc, time::Duration};

use portolan_core::{Clock, SystemClock, memory::ManualClock};

use portolan_core::ServerRequestPolicy;
use serde_json::{Value, json};

use crate::support::{
    client::{Client, ClientVersion, HttpRequest},
    eventually,
    gateway::{TestGateway, TestGatewayBuilder},
    raw::ResponseStream,
    servers::tasks::{POLL_INTERVAL, TaskServer, completed, input_required, working},
    upstreams::{Eras, everything},
};

const FORMS: &str = r#"{"elicitation":{}}"#;

/// A gateway in front of one server, `up`, that drives tasks for clients that know none.
fn driving<'a>(url: String) -> TestGatewayBuilder<'a> {
    TestGateway::requesting(url).config(|config| config.drive_tasks = true)
}

fn call(client: &Client) -> HttpRequest {
    client.call("7", "up__t", "{}")
}

/// The next message, past those that mean nothing.
async fn next(incoming: &mut ResponseStream) -> Value {
    let text = incoming.event().await.expect("whole").expect("an event");
    serde_json::from_str(&text).expect("JSON")
}

fn text(message: &Value) -> &str {
    let text = message["result"]["content"][0]["text"].as_str();
    text.unwrap_or_else(|| panic!("no text: {message}"))
}

fn cause(message: &Value) -> &str {
    let cause = message["result"]["_meta"]["dev.portolan/failure"]["cause"].as_str();
    cause.unwrap_or_else(|| panic!("no cause: {message}"))
}

#[tokio::test]
async fn task_is_driven_to_result() {
    for version in ClientVersion::ALL {
        let server = TaskServer::start(working()).await;
        let gateway = driving(server.url()).start().await;
        let client = gateway.connect(version).await;
        let mut incoming = client.begin(&call(&client)).await;
        eventually("it is asked for twice", || server.polls() >= 2).await;
        server.plan().task = completed("worked");
        let answer = next(&mut incoming).await;
        assert_eq!((&answer["id"], text(&answer)), (&json!(7), "worked"), "{version:?}");
        let typed = answer["result"].get("resultType").is_some();
        assert_eq!(typed, version.is_modern(), "{version:?}: {answer}");
        assert!(incoming.messages().await.expect("a clean end").is_empty());
        let plan = server.plan();
        assert_eq!((plan.refusals, plan.executions), (1, 1), "{version:?}");
        drop(plan);
        assert_eq!(server.cancelled(), 0, "{version:?}");
    }
}

#[tokio::test]
async fn modern_client_without_tasks_is_refused() {
    let server = TaskServer::start(working()).await;
    let gateway = driving(server.url())
        .config(|config| config.drive_tasks = false)
        .start()
        .await;
    let client = gateway.connect(ClientVersion::V2026_07_28).await;
    let answer = client.send(&call(&client)).await;
    assert_eq!((answer.status(), answer.code()), (400, -32021));
    let plan = server.plan();
    assert_eq!((plan.refusals, plan.executions), (1, 0));
}

#[tokio::test]
async fn failed_task_fails_call() {
    for version in ClientVersion::EACH_ERA {
        let error = json!({"code": -32603, "message": "it broke"});
        let server = TaskServer::start(json!({"status": "failed", "error": error})).await;
        let gateway = driving(server.url()).start().await;
        let client = gateway.connect(version).await;
        assert_eq!(client.tool("up__t", json!({})).await["error"], error, "{version:?}");
        server.plan().task = json!({"status": "cancelled"});
        let answer = client.tool("up__t", json!({})).await;
        assert_eq!(
            (cause(&answer), &answer["result"]["isError"]),
            ("stopped", &json!(true))
        );
        for odd in [
            json!({"status": "completed"}),
            json!({"status": "asleep"}),
            json!({"status": "completed", "result": {"resultType": "input_required", "requestState": "x"}}),
        ] {
            server.plan().task = odd.clone();
            let answer = client.tool("up__t", json!({})).await;
            assert_eq!(cause(&answer), "protocol", "{version:?}: {odd}");
        }
    }
}

#[tokio::test]
async fn driven_result_uris_are_prefixed() {
    let link = json!({"type": "resource_link", "name": "x", "uri": "file:///x"});
    let result = json!({"resultType": "complete", "content": [link]});
    let server = TaskServer::start(json!({"status": "completed", "result": result})).await;
    let upstream = portolan_gateway::Upstream::http(server.url());
    let gateway = TestGateway::builder()
        .upstream("up", upstream)
        .settings(|builder| builder.uris(portolan_core::ResourceNaming::Prefix))
        .start()
        .await;
    for version in [ClientVersion::V2025_06_18, ClientVersion::V2025_11_25] {
        let client = gateway.connect(version).await;
        let answer = client.tool("up__t", json!({})).await;
        assert_eq!(answer["result"]["content"][0]["uri"], "mcp+up+file:///x", "{answer}");
    }
}

#[tokio::test]
async fn legacy_client_responds_across_replicas() {
    let server = TaskServer::start(input_required(&["first", "second"])).await;
    let [one, other] = TestGateway::builder()
        .server("up", server.url())
        .server_requests(ServerRequestPolicy::ALL)
        .config(|config| config.drive_tasks = true)
        .start_replicas()
        .await;
    let client = one.connect_with(ClientVersion::V2025_11_25, FORMS).await;
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
    let client = one.connect_with(ClientVersion::V2026_07_28, FORMS).await;
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
        let able = gateway.connect_with(version, FORMS).await;
        assert_eq!(cause(&able.tool("up__t", json!({})).await), "overloaded", "{version:?}");
        eventually("the task is cancelled", || server.cancelled() == 1).await;
        server.plan().task = input_required(&["a"]);
        let refused = unable.tool("up__t", json!({})).await;
        assert!(refused["result"]["isError"] == true, "{refused}");
        eventually("this one too", || server.cancelled() == 2).await;
    }
}

#[tokio::test]
async fn cancelled_call_cancels_task() {
    for version in ClientVersion::EACH_ERA {
        let server = TaskServer::start(working()).await;
        let gateway = driving(server.url()).start().await;
        let client = gateway.connect(version).await;
        let incoming = client.begin(&call(&client)).await;
        eventually("it is asked for", || server.polls() >= 1).await;
        if version.is_modern() {
            drop(incoming);
        } else {
            client.cancel("7").await;
            let messages = incoming.messages().await.expect("a clean end");
            assert!(messages.is_empty(), "{messages:?}");
        }
        eventually("the task is cancelled", || server.cancelled() == 1).await;
        let polls = server.polls();
        // Nothing shows that no poll comes.
        tokio::time::sleep(POLL_INTERVAL).await;
        assert!(server.polls() <= polls + 1, "nobody asks for it any more");
        assert_eq!(server.plan().executions, 1);
    }
}

#[tokio::test]
async fn legacy_disconnect_keeps_task() {
    let server = TaskServer::start(working()).await;
    let gateway = driving(server.url()).start().await;
    let client = gateway.connect(ClientVersion::V2025_11_25).await;
    let incoming = client.begin(&call(&client)).await;
    eventually("it is asked for", || server.polls() >= 1).await;
    drop(incoming);
    let polls = server.polls();
    eventually("it is asked for all the same", || server.polls() >= polls + 3).await;
    server.plan().task = completed("for nobody");
    gateway.drain(Duration::from_secs(10)).await;
    assert_eq!((server.cancelled(), server.plan().executions), (0, 1));
}

#[tokio::test]
async fn slow_task_is_cancelled() {
    for version in ClientVersion::EACH_ERA {
        let server = TaskServer::start(working()).await;
        let gateway = driving(server.url())
            .config(|config| config.timeouts.task = Duration::from_millis(300))
            .start()
            .await;
        let client = gateway.connect(version).await;
        let answer = client.tool("up__t", json!({})).await;
        assert_eq!(cause(&answer), "timeout", "{version:?}");
        eventually("the task is cancelled", || server.cancelled() == 1).await;
        assert_eq!(server.plan().executions, 1);
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
    let client = gateway.connect_with(ClientVersion::V2026_07_28, FORMS).await;
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
async fn poll_interval_is_bounded() {
    for (wished, at_least) in [(0, 100), (250, 250)] {
        let server = TaskServer::start(json!({"status": "working", "pollIntervalMs": wished})).await;
        let gateway = driving(server.url()).start().await;
        let client = gateway.connect(ClientVersion::V2026_07_28).await;
        let incoming = client.begin(&call(&client)).await;
        eventually("it is asked for", || server.polls() >= 4).await;
        drop(incoming);
        let polls = server.plan().polls.clone();
        for pair in polls.windows(2) {
            let between = pair[1] - pair[0];
            assert!(between >= Duration::from_millis(at_least), "{wished}: {between:?}");
        }
    }
}

#[tokio::test]
async fn failed_poll_is_retried() {
    let server = TaskServer::start(working()).await;
    let gateway = driving(server.url()).start().await;
    let client = gateway.connect(ClientVersion::V2026_07_28).await;
    let mut incoming = client.begin(&call(&client)).await;
    eventually("it is asked for", || server.polls() >= 1).await;
    {
        let mut plan = server.plan();
        plan.broken = 2;
        plan.task = completed("after all");
    }
    assert_eq!(text(&next(&mut incoming).await), "after all");
    assert_eq!(server.plan().executions, 1);
}

#[tokio::test]
async fn forgotten_task_is_not_repeated() {
    for version in ClientVersion::EACH_ERA {
        let server = TaskServer::start(working()).await;
        let gateway = driving(server.url()).start().await;
        let client = gateway.connect(version).await;
        let mut incoming = client.begin(&call(&client)).await;
        eventually("it is asked for", || server.polls() >= 1).await;
        server.plan().forgotten = true;
        let answer = next(&mut incoming).await;
        assert_eq!(cause(&answer), "stopped", "{version:?}");
        assert_eq!(server.plan().executions, 1);
    }
}

#[tokio::test]
async fn lost_server_fails_call() {
    let server = TaskServer::start(json!({"status": "working", "pollIntervalMs": 1})).await;
    let gateway = driving(server.url()).start().await;
    let client = gateway.connect(ClientVersion::V2025_11_25).await;
    let mut incoming = client.begin(&call(&client)).await;
    eventually("it is asked for", || server.polls() >= 1).await;
    drop(server);
    assert_eq!(cause(&next(&mut incoming).await), "connection");
}

#[tokio::test]
async fn task_status_becomes_progress() {
    for version in ClientVersion::EACH_ERA {
        let server = TaskServer::start(json!({"status": "working", "statusMessage": "one"})).await;
        let gateway = driving(server.url()).start().await;
        let client = gateway.connect(version).await;
        let post = client.call_with("7", "up__t", "{}", r#""progressToken":"p""#);
        let mut incoming = client.begin(&post).await;
        eventually("it has said it twice", || server.polls() >= 2).await;
        server.plan().task = json!({"status": "working", "statusMessage": "two"});
        for (progress, message) in [(1, "one"), (2, "two")] {
            let told = next(&mut incoming).await;
            assert_eq!(told["method"], "notifications/progress", "{told}");
            let wanted = json!({"progressToken": "p", "progress": progress, "message": message});
            assert_eq!(told["params"], wanted, "{version:?}");
        }
        server.plan().task = completed("worked");
        assert_eq!(text(&next(&mut incoming).await), "worked");
        // Who did not ask is told nothing.
        server.plan().task = json!({"status": "working", "statusMessage": "one"});
        let mut incoming = client.begin(&call(&client)).await;
        let polls = server.polls();
        eventually("it is asked for", || server.polls() > polls).await;
        server.plan().task = completed("worked");
        assert_eq!(text(&next(&mut incoming).await), "worked");
    }
}

#[tokio::test]
async fn request_precedes_task() {
    let server = everything(Eras::Modern).await;
    let gateway = driving(server.url()).start().await;
    let mut texts = HashSet::new();
    let legacy = gateway.connect_with(ClientVersion::V2025_11_25, FORMS).await;
    let mut incoming = legacy.begin(&legacy.call("7", "up__test_tool_with_task", "{}")).await;
    let question = next(&mut incoming).await;
    let said = json!({"action": "accept", "content": {"name": "Ada"}});
    let body = json!({"jsonrpc": "2.0", "id": question["id"], "result": said});
    legacy.send(&legacy.post(body.to_string())).await;
    texts.insert(text(&next(&mut incoming).await).to_owned());
    let client = gateway.connect_with(ClientVersion::V2026_07_28, FORMS).await;
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
