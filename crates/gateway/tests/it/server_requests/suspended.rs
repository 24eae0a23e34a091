//! Calls that are suspended while a modern client is asked.

use std::time::Duration;

use serde_json::{Value, json};

use super::ALL_CAPABILITIES;
use crate::support::{
    client::ClientVersion,
    dialogue::{call, call_request, responses_to, result_text, resume_call},
    eventually,
    gateway::TestGateway,
    servers::requesting::RequestingServer,
};

#[tokio::test]
async fn request_state_is_bound_to_call() {
    for server in [RequestingServer::modern().await, RequestingServer::legacy().await] {
        let gateway = TestGateway::requesting(server.url()).start().await;
        let client = gateway.connect_with(ClientVersion::V2026_07_28, ALL_CAPABILITIES).await;
        let mut bob = gateway.client(ClientVersion::V2026_07_28).token("bob-token");
        bob.capabilities = ALL_CAPABILITIES.into();
        let arguments = json!({"tag": "t", "other": {"b": 1, "a": [1, 2]}});
        let asked = call(&client, &arguments).await;
        let extra = responses_to(&asked);
        let refused = |message: Value| assert_eq!(message["error"]["code"], -32602, "{message}");
        refused(resume_call(&bob, &arguments, &extra).await);
        refused(resume_call(&client, &json!({"tag": "u"}), &extra).await);
        let mut forged = extra.clone();
        let state = extra["requestState"].as_str().expect("a state");
        assert!(!state.contains("tag"), "it is sealed");
        for at in (0..state.len()).step_by(11) {
            let mut odd = state.as_bytes().to_vec();
            odd[at] = if odd[at] == b'A' { b'B' } else { b'A' };
            forged["requestState"] = String::from_utf8(odd).expect("ASCII").into();
            refused(resume_call(&client, &arguments, &forged).await);
        }
        // Members in another order are the same arguments.
        let reordered = json!({"other": {"a": [1, 2], "b": 1}, "tag": "t"});
        let message = resume_call(&client, &reordered, &extra).await;
        assert_eq!(result_text(&message), "t:t");
        assert_eq!(server.calls(), 1);
        assert_eq!(server.unexpected_responses(), 0);
    }
}

#[tokio::test]
async fn missing_response_is_requested_again() {
    let server = RequestingServer::legacy().await;
    let gateway = TestGateway::requesting(server.url()).start().await;
    let client = gateway.connect_with(ClientVersion::V2026_07_28, ALL_CAPABILITIES).await;
    let arguments = json!({"tag": "t", "requests": 2});
    let asked = call(&client, &arguments).await;
    let mut extra = responses_to(&asked);
    let responses = extra["inputResponses"].as_object_mut().expect("answers");
    responses.remove("q2");
    responses.insert("unknown".into(), json!({"x": 1}));
    let again = resume_call(&client, &arguments, &extra).await;
    let keys: Vec<_> = again["result"]["inputRequests"]
        .as_object()
        .expect("requests")
        .keys()
        .collect();
    assert_eq!(keys, ["q2"]);
    // The first state was used.
    let used = resume_call(&client, &arguments, &extra).await;
    assert_eq!(used["result"]["isError"], true);
    let message = resume_call(&client, &arguments, &responses_to(&again)).await;
    assert_eq!(result_text(&message), "t:t,t");
    assert_eq!(server.calls(), 1);
}

#[tokio::test]
async fn suspended_call_uses_new_progress_token() {
    let server = RequestingServer::legacy().await;
    let gateway = TestGateway::requesting(server.url()).start().await;
    let client = gateway.connect_with(ClientVersion::V2026_07_28, ALL_CAPABILITIES).await;
    let arguments = json!({"tag": "t", "progress": true});
    let post = call_request(&client, &arguments, &json!({}), r#""progressToken":"first""#);
    let messages = client.begin(&post).await.messages().await.expect("whole");
    let messages: Vec<Value> = messages
        .iter()
        .map(|text| serde_json::from_str(text).expect("JSON"))
        .collect();
    assert_eq!(messages[0]["params"]["progressToken"], "first");
    let post = call_request(
        &client,
        &arguments,
        &responses_to(&messages[1]),
        r#""progressToken":"second""#,
    );
    let messages = client.begin(&post).await.messages().await.expect("whole");
    let messages: Vec<Value> = messages
        .iter()
        .map(|text| serde_json::from_str(text).expect("JSON"))
        .collect();
    assert_eq!(messages[0]["params"]["progressToken"], "second");
    assert_eq!(result_text(&messages[1]), "t:t");
}

#[tokio::test]
async fn suspended_call_times_out() {
    let server = RequestingServer::legacy().await;
    let gateway = TestGateway::requesting(server.url())
        .config(|config| {
            config.timeouts.server_request = Duration::from_millis(100);
            config.limits.suspended_per_caller = 2;
        })
        .start()
        .await;
    let client = gateway.connect_with(ClientVersion::V2026_07_28, ALL_CAPABILITIES).await;
    let arguments = json!({"tag": "t"});
    let asked = call(&client, &arguments).await;
    call(&client, &arguments).await;
    assert_eq!(gateway.server_request_count(), 2);
    let over = call(&client, &arguments).await;
    assert!(result_text(&over).contains("cannot be asked now"), "{over}");
    eventually("both are cancelled", || server.cancelled() == 2).await;
    assert_eq!(gateway.server_request_count(), 0);
    let lost = resume_call(&client, &arguments, &responses_to(&asked)).await;
    assert_eq!(lost["result"]["isError"], true);
    assert_eq!(server.calls(), 3, "it is not made again");
}

#[tokio::test]
async fn zero_suspended_limit_disables_requests() {
    let server = RequestingServer::legacy().await;
    let gateway = TestGateway::requesting(server.url())
        .config(|config| config.limits.suspended = 0)
        .start()
        .await;
    let client = gateway.connect_with(ClientVersion::V2026_07_28, ALL_CAPABILITIES).await;
    let message = call(&client, &json!({"tag": "t"})).await;
    assert!(result_text(&message).contains("-32601"), "{message}");
    assert_eq!(server.declared_capabilities(), json!({}));
}
