//! A remote server with one tool, which wants a key: it stands for one that runs elsewhere.

use axum::{
    Json,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

/// The key of its only user.
pub(crate) const KEY: &str = "alices-key";

pub(crate) async fn answer(headers: HeaderMap, Json(message): Json<Value>) -> Response {
    if headers.get("x-api-key").is_none_or(|key| key != KEY) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let Some(id) = message.get("id") else {
        return StatusCode::ACCEPTED.into_response();
    };
    let mut answer = json!({"jsonrpc": "2.0", "id": id});
    match message["method"].as_str().unwrap_or_default() {
        "initialize" => {
            answer["result"] = json!({
                "protocolVersion": message["params"]["protocolVersion"],
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "crm", "version": "1"},
            });
        }
        "tools/list" => answer["result"] = json!({"tools": [{"name": "customers", "inputSchema": {"type": "object"}}]}),
        "tools/call" => answer["result"] = json!({"content": [{"type": "text", "text": "Ada, Grace, Barbara"}]}),
        _ => answer["error"] = json!({"code": -32601, "message": "no such method"}),
    }
    Json(answer).into_response()
}
