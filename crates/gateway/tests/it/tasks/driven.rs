//! Calls that a modern server does only as tasks, of clients that know none: the gateway asks for the task.

mod server_requests;

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{
    client::{Client, ClientVersion, HttpRequest},
    eventually,
    gateway::{TestGateway, TestGatewayBuilder},
    raw::ResponseStream,
    servers::tasks::{POLL_INTERVAL, TaskServer, completed, working},
};

const ELICITATION: &str = r#"{"elicitation":{}}"#;

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
        .settings(|builder| builder.resource_naming(portolan_core::ResourceNaming::Prefix))
        .start()
        .await;
    for version in [ClientVersion::V2025_06_18, ClientVersion::V2025_11_25] {
        let client = gateway.connect(version).await;
        let answer = client.tool("up__t", json!({})).await;
        assert_eq!(answer["result"]["content"][0]["uri"], "mcp+up+file:///x", "{answer}");
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
