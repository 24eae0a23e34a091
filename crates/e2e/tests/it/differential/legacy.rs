//! The requests of the legacy era, and of none.

use serde_json::{Value, json};

use super::ask::Ask;

pub(super) fn asks() -> Vec<Ask> {
    [handshakes(), methods(), refusals(), messages(), headers(), verbs()].concat()
}

fn handshakes() -> Vec<Ask> {
    let newest = || Ask::handshake("initialize", "2025-11-25");
    let named = |name: &str| Ask {
        name: name.to_owned(),
        ..newest()
    };
    vec![
        newest(),
        Ask::handshake("initialize 2025-06-18", "2025-06-18"),
        Ask::handshake("initialize 2025-03-26", "2025-03-26"),
        Ask::handshake("initialize 2024-11-05", "2024-11-05"),
        Ask::handshake("initialize a version of nobody", "v999"),
        Ask::handshake("initialize the modern version", "2026-07-28"),
        named("initialize with its version header").with("mcp-protocol-version", "2025-11-25"),
        named("initialize with another version header").with("mcp-protocol-version", "2025-06-18"),
        named("initialize without params").but(|message| message["params"] = Value::Null),
        named("initialize without a version").but(|message| message["params"]["protocolVersion"] = Value::Null),
        named("initialize without capabilities").but(|message| message["params"]["capabilities"] = Value::Null),
        named("initialize in a session").with("mcp-session-id", "{session}"),
    ]
}

fn methods() -> Vec<Ask> {
    let call = |name: &str, tool: &str, arguments: Value| {
        Ask::legacy(name, "tools/call", json!({ "name": tool, "arguments": arguments }))
    };
    let read = |name: &str, uri: &str| Ask::legacy(name, "resources/read", json!({ "uri": uri }));
    let value = json!({ "name": "arg1", "value": "par" });
    let prompt = json!({ "type": "ref/prompt", "name": "test_prompt_with_arguments" });
    let template = json!({ "type": "ref/resource", "uri": "test://template/{id}/data" });
    let arguments = json!({ "arg1": "one", "arg2": "two" });
    vec![
        Ask::legacy("ping", "ping", json!({})),
        Ask::legacy("list tools", "tools/list", json!({})),
        call("call a tool", "test_simple_text", json!({})),
        call("call a tool that fails", "test_error_handling", json!({})),
        call(
            "call a tool of structure",
            "test_structured",
            json!({ "place": "Bergen" }),
        ),
        call("call a tool by a name in Japanese", "日本語", json!({})),
        call("call a tool that logs", "test_tool_with_logging", json!({})).alone(),
        call(
            "call a tool that reports progress",
            "test_tool_with_progress",
            json!({}),
        )
        .but(|message| message["params"]["_meta"] = json!({ "progressToken": "p" })),
        call(
            "call a tool that asks who cannot be asked",
            "test_elicitation",
            json!({}),
        ),
        Ask::legacy("list prompts", "prompts/list", json!({})),
        Ask::legacy(
            "get a prompt",
            "prompts/get",
            json!({ "name": "test_prompt_with_arguments", "arguments": arguments }),
        ),
        Ask::legacy("list resources", "resources/list", json!({})),
        Ask::legacy("list templates", "resources/templates/list", json!({})),
        read("read a text", "test://static-text"),
        read("read an image", "test://static-binary"),
        read("read by a template", "test://template/7/data"),
        Ask::legacy(
            "complete a prompt",
            "completion/complete",
            json!({ "ref": prompt, "argument": value }),
        ),
        Ask::legacy(
            "complete a template",
            "completion/complete",
            json!({ "ref": template, "argument": value }),
        ),
        Ask::legacy("set the level", "logging/setLevel", json!({ "level": "error" })).alone(),
        Ask::legacy(
            "subscribe",
            "resources/subscribe",
            json!({ "uri": "test://watched-resource" }),
        )
        .alone(),
        Ask::legacy(
            "unsubscribe",
            "resources/unsubscribe",
            json!({ "uri": "test://watched-resource" }),
        )
        .alone(),
    ]
}

fn refusals() -> Vec<Ask> {
    vec![
        Ask::legacy("unknown method", "tools/destroy", json!({})),
        Ask::legacy("a method of the modern era", "server/discover", json!({})),
        Ask::legacy(
            "listen in a session",
            "subscriptions/listen",
            json!({ "notifications": {} }),
        ),
        Ask::legacy("a task of nobody", "tasks/get", json!({ "taskId": "t" })),
        Ask::legacy("unknown tool", "tools/call", json!({ "name": "nothing" })),
        Ask::legacy("unknown prompt", "prompts/get", json!({ "name": "nothing" })),
        Ask::legacy("unknown resource", "resources/read", json!({ "uri": "test://nothing" })),
        Ask::legacy("bad cursor", "tools/list", json!({ "cursor": "nowhere" })),
        Ask::legacy("a cursor that is a number", "tools/list", json!({ "cursor": 5 })),
        Ask::legacy("a call of nothing", "tools/call", json!({})),
        Ask::legacy("a tool that is a number", "tools/call", json!({ "name": 5 })),
        Ask::legacy(
            "arguments that are a list",
            "tools/call",
            json!({ "name": "test_simple_text", "arguments": [1] }),
        ),
        Ask::legacy("a read of nothing", "resources/read", json!({})),
        Ask::legacy("bad level", "logging/setLevel", json!({ "level": "loud" })),
        Ask::legacy("params null", "tools/list", Value::Null),
        Ask::legacy("params a list", "tools/list", json!([1])),
        Ask::legacy("params a text", "tools/list", json!("all")),
    ]
}

fn messages() -> Vec<Ask> {
    let ping = |id: Value| json!({ "jsonrpc": "2.0", "id": id, "method": "ping" });
    let deep = format!(
        r#"{{"jsonrpc":"2.0","id":7,"method":"ping","params":{{"a":{}{}}}}}"#,
        "[".repeat(200),
        "]".repeat(200)
    );
    let large = format!(
        r#"{{"jsonrpc":"2.0","id":7,"method":"ping","params":{{"a":"{}"}}}}"#,
        "x".repeat(4 << 20)
    );
    vec![
        Ask::message("id text", ping(json!("seven"))),
        Ask::message("id zero", ping(json!(0))),
        Ask::message("id negative", ping(json!(-7))),
        Ask::message("id large", ping(json!(9_007_199_254_740_993_i64))),
        Ask::message("id float", ping(json!(7.5))),
        Ask::message("id null", ping(Value::Null)),
        Ask::message("id bool", ping(json!(true))),
        Ask::message(
            "a notification",
            json!({ "jsonrpc": "2.0", "method": "notifications/roots/list_changed" }),
        ),
        Ask::message(
            "an unknown notification",
            json!({ "jsonrpc": "2.0", "method": "notifications/nothing" }),
        ),
        Ask::message(
            "a response to nothing",
            json!({ "jsonrpc": "2.0", "id": 99, "result": {} }),
        ),
        Ask::message(
            "an error to nothing",
            json!({ "jsonrpc": "2.0", "id": 99, "error": { "code": 1, "message": "" } }),
        ),
        Ask::message("a batch", json!([ping(json!(1)), ping(json!(2))])),
        Ask::message("an empty batch", json!([])),
        Ask::message("JSON-RPC 1.0", json!({ "jsonrpc": "1.0", "id": 7, "method": "ping" })),
        Ask::message("no JSON-RPC", json!({ "id": 7, "method": "ping" })),
        Ask::message("an empty object", json!({})),
        Ask::message("a number", json!(7)),
        Ask::text("bad JSON", "{"),
        Ask::text("no body", ""),
        Ask::text("two values", r#"{"jsonrpc":"2.0","id":7,"method":"ping"} 1"#),
        Ask::text(
            "the same member twice",
            r#"{"jsonrpc":"2.0","id":7,"id":8,"method":"ping"}"#,
        ),
        Ask::text(
            "bytes that are no UTF-8",
            b"{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"\xff\"}".to_vec(),
        ),
        Ask::text("deeply nested", deep),
        Ask::text("too large", large),
    ]
}

fn headers() -> Vec<Ask> {
    let ping = |name: &str| Ask::legacy(name, "ping", json!({}));
    vec![
        ping("no session").without("mcp-session-id"),
        ping("a session of nobody").with("mcp-session-id", "nobody"),
        ping("two sessions").and("mcp-session-id", "nobody"),
        ping("no version header").without("mcp-protocol-version"),
        ping("an older version header").with("mcp-protocol-version", "2025-06-18"),
        ping("a version header of nobody").with("mcp-protocol-version", "v999"),
        ping("two version headers").and("mcp-protocol-version", "2025-06-18"),
        ping("the modern version header in a session").with("mcp-protocol-version", "2026-07-28"),
        ping("no content type").without("content-type"),
        ping("text").with("content-type", "text/plain"),
        ping("JSON of something").with("content-type", "application/jsonx"),
        ping("JSON in UTF-8").with("content-type", "application/json; charset=utf-8"),
        ping("JSON in capitals").with("content-type", "Application/JSON"),
        ping("packed").with("content-encoding", "gzip"),
        ping("accept nothing").without("accept"),
        ping("accept JSON").with("accept", "application/json"),
        ping("accept events").with("accept", "text/event-stream"),
        ping("accept anything").with("accept", "*/*"),
        ping("accept kinds of anything").with("accept", "application/*, text/*"),
        ping("accept by preference").with("accept", "text/event-stream;q=0.1, application/json;q=0.9"),
        ping("accept no events").with("accept", "application/json, text/event-stream;q=0"),
        ping("accept no JSON").with("accept", "application/json;q=0.0, text/event-stream"),
        ping("accept by a bad preference").with("accept", "application/json;q=much, text/event-stream;q=2"),
        ping("accept in two headers")
            .with("accept", "application/json")
            .and("accept", "text/event-stream"),
        ping("accept in capitals").with("accept", "APPLICATION/JSON, Text/Event-Stream"),
        ping("a host of elsewhere").with("host", "evil.example"),
        ping("a page of elsewhere").with("origin", "https://evil.example"),
        ping("a page of nowhere").with("origin", "null"),
        ping("a host and a page of elsewhere")
            .with("host", "evil.example")
            .with("origin", "http://evil.example"),
        ping("a host with something behind").with("host", "localhost.evil.example"),
    ]
}

fn verbs() -> Vec<Ask> {
    let get = |name: &str| {
        Ask::text(name, "")
            .verb("GET")
            .with("accept", "text/event-stream")
            .alone()
    };
    let delete = |name: &str| Ask::text(name, "").verb("DELETE").alone();
    vec![
        get("GET"),
        get("GET without a session").without("mcp-session-id"),
        get("GET of nobody").with("mcp-session-id", "nobody"),
        get("GET of JSON").with("accept", "application/json"),
        get("GET after an event of nobody").with("last-event-id", "nothing"),
        delete("DELETE"),
        delete("DELETE again").twice(),
        delete("DELETE without a session").without("mcp-session-id"),
        delete("DELETE of nobody").with("mcp-session-id", "nobody"),
        Ask::text("PUT", "").verb("PUT"),
        Ask::text("PATCH", "").verb("PATCH"),
        Ask::text("HEAD", "").verb("HEAD"),
        Ask::text("OPTIONS", "").verb("OPTIONS"),
    ]
}
