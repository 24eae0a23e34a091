//! A stdio MCP server in a page: what `cargo run --example quickstart` installs when nothing else is named.

use std::{
    io::{BufRead, Write},
    process::ExitCode,
};

use serde_json::{Value, json};

/// Answers requests on standard input until it ends.
pub(crate) fn serve() -> ExitCode {
    let mut out = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let Ok(line) = line else { return ExitCode::FAILURE };
        let Ok(message) = serde_json::from_str::<Value>(&line) else {
            continue;
        };
        let Some(id) = message.get("id") else { continue };
        let mut answer = json!({"jsonrpc": "2.0", "id": id});
        match answer_to(&message) {
            Ok(result) => answer["result"] = result,
            Err((code, text)) => answer["error"] = json!({"code": code, "message": text}),
        }
        if writeln!(out, "{answer}").and_then(|()| out.flush()).is_err() {
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn answer_to(message: &Value) -> Result<Value, (i64, String)> {
    let params = &message["params"];
    match message["method"].as_str().unwrap_or_default() {
        "initialize" => Ok(json!({
            "protocolVersion": params["protocolVersion"],
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "portolan-demo", "version": env!("CARGO_PKG_VERSION")},
        })),
        "ping" => Ok(json!({})),
        "tools/list" => Ok(json!({"tools": tools()})),
        "tools/call" => call(params["name"].as_str().unwrap_or_default(), &params["arguments"]),
        other => Err((-32601, format!("method not found: {other}"))),
    }
}

fn tools() -> Value {
    json!([
        {
            "name": "greet",
            "description": "Greets somebody",
            "inputSchema": {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]},
            "annotations": {"readOnlyHint": true},
        },
        {
            "name": "add",
            "description": "Adds two numbers",
            "inputSchema": {
                "type": "object",
                "properties": {"a": {"type": "number"}, "b": {"type": "number"}},
                "required": ["a", "b"],
            },
            "annotations": {"readOnlyHint": true},
        },
    ])
}

fn call(tool: &str, arguments: &Value) -> Result<Value, (i64, String)> {
    let text = match tool {
        "greet" => format!("Hello, {}!", arguments["name"].as_str().unwrap_or("stranger")),
        "add" => match (arguments["a"].as_f64(), arguments["b"].as_f64()) {
            (Some(a), Some(b)) => (a + b).to_string(),
            _ => return Ok(json!({"content": [{"type": "text", "text": "a and b must be numbers"}], "isError": true})),
        },
        _ => return Err((-32602, format!("unknown tool: {tool}"))),
    };
    Ok(json!({"content": [{"type": "text", "text": text}]}))
}
