//! Calls of the tool `up__ask`, in which the server sends requests to the client, step by step.

use serde_json::{Map, Value, json};

use super::client::{Client, HttpRequest};

/// One request of a call. `extra` is an object with more params, `meta` the raw inside of `_meta`.
pub(crate) fn call_request(client: &Client, arguments: &Value, extra: &Value, meta: &str) -> HttpRequest {
    let extra: String = extra
        .as_object()
        .expect("an object")
        .iter()
        .map(|(key, value)| format!(",\"{key}\":{value}"))
        .collect();
    let params = format!(r#""name":"up__ask","arguments":{arguments}{extra}"#);
    client.request(&client.next_id(), "tools/call", &params, meta)
}

/// Sends one request of a call, and returns all messages on its stream.
pub(crate) async fn messages(client: &Client, arguments: &Value, extra: &Value, meta: &str) -> Vec<Value> {
    let request = call_request(client, arguments, extra, meta);
    let messages = client.begin(&request).await.messages().await.expect("a whole response");
    let parse = |text: &String| serde_json::from_str(text).expect("JSON");
    messages.iter().map(parse).collect()
}

/// Sends the first request of a call, and returns the response.
pub(crate) async fn call(client: &Client, arguments: &Value) -> Value {
    resume_call(client, arguments, &json!({})).await
}

/// Sends a further request of a call, with what [`responses_to`] made, and returns the response.
pub(crate) async fn resume_call(client: &Client, arguments: &Value, extra: &Value) -> Value {
    messages(client, arguments, extra, "").await.pop().expect("a response")
}

/// Calls until there is a result, and responds to all requests; every other step goes through `elsewhere`.
pub(crate) async fn complete(client: &Client, elsewhere: &Client, arguments: Value) -> Value {
    if !client.version.is_modern() {
        let post = client.call(&client.next_id(), "up__ask", &arguments.to_string());
        let mut incoming = client.begin(&post).await;
        loop {
            let message = incoming.json().await;
            if message.get("result").is_some() || message.get("error").is_some() {
                return message;
            }
            if message.get("id").is_some() {
                assert_eq!(respond(elsewhere, &message).await, 202);
            }
        }
    }
    let (mut extra, mut places) = (json!({}), [client, elsewhere].into_iter().cycle());
    loop {
        let at = places.next().expect("endless");
        let message = resume_call(at, &arguments, &extra).await;
        if message["result"]["resultType"] != "input_required" {
            return message;
        }
        extra = responses_to(&message);
    }
}

/// The params with which a modern client responds to `input_required`: it repeats the message of each request.
pub(crate) fn responses_to(input_required: &Value) -> Value {
    let result = &input_required["result"];
    assert_eq!(result["resultType"], "input_required", "{input_required}");
    let requests = result["inputRequests"].as_object().expect("requests");
    let responses: Map<String, Value> = requests
        .iter()
        .map(|(key, request)| (key.clone(), response_to(request)))
        .collect();
    let mut extra = json!({"inputResponses": responses});
    if let Some(state) = result.get("requestState") {
        extra["requestState"] = state.clone();
    }
    extra
}

/// Responds to a request that a legacy client was sent; returns the HTTP status.
pub(crate) async fn respond(client: &Client, request: &Value) -> u16 {
    respond_with(client, request, &response_to(request)).await
}

pub(crate) async fn respond_with(client: &Client, request: &Value, result: &Value) -> u16 {
    let body = json!({"jsonrpc": "2.0", "id": request["id"], "result": result});
    client.send(&client.post(body.to_string())).await.status()
}

/// What a person, or a model, responds to a request.
fn response_to(request: &Value) -> Value {
    match request["method"].as_str() {
        Some("sampling/createMessage") => json!({"role": "assistant", "model": "m",
            "content": {"type": "text", "text": "x"}, "action": "sampled"}),
        Some("roots/list") => json!({"roots": [], "action": "rooted"}),
        _ => json!({"action": "accept", "content": {"tag": request["params"]["message"]}}),
    }
}

/// The text of a tool's result.
pub(crate) fn result_text(message: &Value) -> &str {
    message["result"]["content"][0]["text"]
        .as_str()
        .unwrap_or_else(|| panic!("no text: {message}"))
}

/// The cause of a failed call.
pub(crate) fn failure_cause(message: &Value) -> &str {
    message["result"]["_meta"]["dev.portolan/failure"]["cause"]
        .as_str()
        .unwrap_or_else(|| panic!("no cause: {message}"))
}

/// Asserts that a call is lost with the replica that had it.
#[track_caller]
pub(crate) fn assert_lost(message: &Value) {
    assert_eq!(message["result"]["isError"], true, "{message}");
    assert_eq!(failure_cause(message), "stopped", "{message}");
}
