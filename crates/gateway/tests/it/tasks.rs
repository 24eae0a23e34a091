//! Tasks, in all pairings of eras.

mod converted;
mod declared;
mod driven;
mod legacy;
mod modern;
mod notifications;

use serde_json::{Value, json};

use crate::support::client::Client;

/// The capabilities of a client that knows tasks and can be asked.
const TASKS: &str = r#"{"elicitation":{},"extensions":{"io.modelcontextprotocol/tasks":{}}}"#;

/// The answer to a client that knows tasks.
pub(crate) async fn with_tasks(client: &Client, method: &str, params: Value) -> Value {
    let mut params = params;
    let capabilities: Value = serde_json::from_str(TASKS).expect("JSON");
    params["_meta"] = json!({"io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": capabilities});
    let name = params
        .get("taskId")
        .or_else(|| params.get("name"))
        .and_then(Value::as_str)
        .expect("a name")
        .to_owned();
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
    let post = client
        .post(body.to_string())
        .with("mcp-method", method)
        .with("mcp-name", &name);
    let messages = client.begin(&post).await.messages().await.expect("a whole answer");
    serde_json::from_str(messages.last().expect("an answer")).expect("JSON")
}
