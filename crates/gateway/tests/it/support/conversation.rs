//! Calls of the tool `up__ask` in which the client is asked something, step by step.

use serde_json::{Value, json};

use super::{
    client::{Client, Post},
    raw::Incoming,
};

/// A request of a modern client. `extra` is the raw rest of its params, `meta` of its `_meta`.
pub(crate) fn post(client: &Client, arguments: &Value, extra: &str, meta: &str) -> Post {
    let params = format!(r#""name":"up__ask","arguments":{arguments}{extra}"#);
    client.request(&client.next_id(), "tools/call", &params, meta)
}

/// One request, and all that comes of it.
pub(crate) async fn all(client: &Client, arguments: &Value, extra: &str, meta: &str) -> Vec<Value> {
    let messages = client
        .begin(&post(client, arguments, extra, meta))
        .await
        .messages()
        .await;
    let messages = messages.expect("whole");
    messages
        .iter()
        .map(|text| serde_json::from_str(text).expect("JSON"))
        .collect()
}

pub(crate) async fn one(client: &Client, arguments: &Value, extra: &str) -> Value {
    all(client, arguments, extra, "").await.pop().expect("an answer")
}

/// What is brought back with answers that repeat what was asked.
pub(crate) fn answers(asked: &Value) -> String {
    let result = &asked["result"];
    assert_eq!(result["resultType"], "input_required", "{asked}");
    let responses: serde_json::Map<String, Value> = result["inputRequests"]
        .as_object()
        .expect("questions")
        .iter()
        .map(|(key, question)| {
            let tag = question["params"]["message"].clone();
            (key.clone(), json!({"action": "accept", "content": {"tag": tag}}))
        })
        .collect();
    let responses = Value::from(responses);
    format!(
        r#","inputResponses":{responses},"requestState":{}"#,
        result["requestState"]
    )
}

/// Calls and answers until there is a result.
pub(crate) async fn converse(client: &Client, arguments: Value) -> Value {
    let mut extra = String::new();
    loop {
        let message = one(client, &arguments, &extra).await;
        if message["result"]["resultType"] != "input_required" {
            return message;
        }
        extra = answers(&message);
    }
}

pub(crate) fn text(message: &Value) -> &str {
    message["result"]["content"][0]["text"]
        .as_str()
        .unwrap_or_else(|| panic!("no text: {message}"))
}

/// The next message of a stream.
pub(crate) async fn next(incoming: &mut Incoming) -> Value {
    let text = incoming.event().await.expect("whole").expect("an event");
    serde_json::from_str(&text).expect("JSON")
}

/// Answers what a legacy client was asked, with what was asked.
pub(crate) async fn answer(client: &Client, question: &Value) -> u16 {
    let content = json!({"tag": question["params"]["message"]});
    let body = json!({"jsonrpc": "2.0", "id": question["id"], "result": {"action": "accept", "content": content}});
    client.send(&client.bare(body.to_string())).await.status()
}
