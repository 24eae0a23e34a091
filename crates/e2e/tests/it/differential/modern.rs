//! The requests of the modern era.

use serde_json::{Value, json};

use super::ask::Ask;

const VERSION: &str = "io.modelcontextprotocol/protocolVersion";
const CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
const LEVEL: &str = "io.modelcontextprotocol/logLevel";

pub(super) fn asks() -> Vec<Ask> {
    [
        methods(),
        questions(),
        refusals(),
        mirrors(),
        meta(),
        messages(),
        carriers(),
    ]
    .concat()
}

fn call(name: &str, tool: &str) -> Ask {
    Ask::modern(name, "tools/call", json!({ "name": tool, "arguments": {} }))
}

fn tools(name: &str) -> Ask {
    Ask::modern(name, "tools/list", json!({}))
}

fn methods() -> Vec<Ask> {
    let value = json!({ "name": "arg1", "value": "par" });
    let prompt = json!({ "type": "ref/prompt", "name": "test_prompt_with_arguments" });
    let arguments = json!({ "arg1": "one", "arg2": "two" });
    let prompt_with = json!({ "name": "test_prompt_with_arguments", "arguments": arguments });
    let all = json!({ "toolsListChanged": true, "resourceSubscriptions": ["test://watched-resource"] });
    vec![
        Ask::modern("discover", "server/discover", json!({})),
        tools("list tools"),
        call("call a tool", "test_simple_text"),
        call("call a tool that fails", "test_error_handling"),
        call("call a tool of structure", "test_structured"),
        call("call a tool that logs", "test_tool_with_logging")
            .but(|message| message["params"]["_meta"][LEVEL] = "info".into()),
        call("call a tool that would log", "test_tool_with_logging"),
        call("call a tool that reports progress", "test_tool_with_progress")
            .but(|message| message["params"]["_meta"]["progressToken"] = "p".into()),
        Ask::modern("list prompts", "prompts/list", json!({})),
        Ask::modern("get a prompt", "prompts/get", prompt_with),
        Ask::modern("list resources", "resources/list", json!({})),
        Ask::modern("list templates", "resources/templates/list", json!({})),
        Ask::modern("read a text", "resources/read", json!({ "uri": "test://static-text" })),
        Ask::modern(
            "read by a template",
            "resources/read",
            json!({ "uri": "test://template/7/data" }),
        ),
        Ask::modern(
            "complete",
            "completion/complete",
            json!({ "ref": prompt, "argument": value }),
        ),
        Ask::modern("listen", "subscriptions/listen", json!({ "notifications": all })).take(1),
        Ask::modern(
            "listen to nothing",
            "subscriptions/listen",
            json!({ "notifications": {} }),
        )
        .take(1),
    ]
}

fn questions() -> Vec<Ask> {
    let form = json!({ "elicitation": { "form": {} } });
    let ask = |name: &str, tool: &str, capabilities: &Value| {
        Ask::modern_from(name, "tools/call", json!({ "name": tool }), capabilities.clone())
    };
    let accept = json!({ "action": "accept", "content": { "username": "ada" } });
    vec![
        ask("a question", "test_elicitation", &form),
        ask("a question and its answer", "test_elicitation", &form).answering(accept),
        ask("a question and a refusal", "test_elicitation", &form).answering(json!({ "action": "decline" })),
        ask("a question to a model", "test_sampling", &json!({ "sampling": {} })),
        ask(
            "a question for roots",
            "test_input_required_result_list_roots",
            &json!({ "roots": {} }),
        ),
    ]
}

fn refusals() -> Vec<Ask> {
    vec![
        Ask::modern("unknown method", "tools/destroy", json!({})),
        Ask::modern("ping is removed", "ping", json!({})),
        Ask::modern("setLevel is removed", "logging/setLevel", json!({ "level": "info" })),
        Ask::modern(
            "subscribe is removed",
            "resources/subscribe",
            json!({ "uri": "test://static-text" }),
        ),
        Ask::modern(
            "unsubscribe is removed",
            "resources/unsubscribe",
            json!({ "uri": "test://static-text" }),
        ),
        Ask::modern("initialize in modern clothing", "initialize", json!({})),
        Ask::modern("a task of nobody", "tasks/get", json!({ "taskId": "t" })).with("mcp-name", "t"),
        call("unknown tool", "nothing"),
        Ask::modern("unknown prompt", "prompts/get", json!({ "name": "nothing" })),
        Ask::modern("unknown resource", "resources/read", json!({ "uri": "test://nothing" })),
        Ask::modern("bad cursor", "tools/list", json!({ "cursor": "nowhere" })),
        Ask::modern("a cursor that is a number", "tools/list", json!({ "cursor": 5 })),
        call("a call of nothing", "x")
            .but(|message| message["params"]["name"] = Value::Null)
            .without("mcp-name"),
        call("arguments that are a list", "test_simple_text")
            .but(|message| message["params"]["arguments"] = json!([1])),
        Ask::modern("bad level", "tools/list", json!({ "_meta": { LEVEL: "loud" } })),
    ]
}

fn mirrors() -> Vec<Ask> {
    let simple = |name: &str| call(name, "test_simple_text");
    let regional = |name: &str, region: &str| {
        let arguments = json!({ "region": region });
        Ask::modern(
            name,
            "tools/call",
            json!({ "name": "test_custom_header", "arguments": arguments }),
        )
    };
    vec![
        simple("no method header").without("mcp-method"),
        simple("another method header").with("mcp-method", "tools/list"),
        simple("a method header in capitals").with("mcp-method", "Tools/Call"),
        simple("two method headers").and("mcp-method", "tools/call"),
        simple("two method headers that differ").and("mcp-method", "tools/list"),
        simple("no name header").without("mcp-name"),
        simple("another name header").with("mcp-name", "test_image_content"),
        simple("a name header in capitals").with("mcp-name", "TEST_SIMPLE_TEXT"),
        simple("two name headers").and("mcp-name", "test_simple_text"),
        simple("a name header in base64").with("mcp-name", "=?base64?dGVzdF9zaW1wbGVfdGV4dA==?="),
        simple("a name header in bad base64").with("mcp-name", "=?base64?!!?="),
        simple("another name header in base64").with("mcp-name", "=?base64?bm90aGluZw==?="),
        call("a name in Japanese", "日本語").with("mcp-name", "=?base64?5pel5pys6Kqe?="),
        call("a name in Japanese, as it is", "日本語"),
        tools("a name header where none is due").with("mcp-name", "something"),
        regional("a mirrored argument", "eu").with("mcp-param-region", "eu"),
        regional("a mirrored argument in base64", "ä").with("mcp-param-region", "=?base64?w6Q=?="),
        regional("a mirrored argument without its header", "eu"),
        regional("a mirrored argument with another header", "eu").with("mcp-param-region", "us"),
        regional("a header without its argument", "eu")
            .but(|message| message["params"]["arguments"] = json!({}))
            .with("mcp-param-region", "eu"),
        regional("a mirrored argument twice", "eu")
            .with("mcp-param-region", "eu")
            .and("mcp-param-region", "eu"),
        simple("an argument header of nothing").with("mcp-param-unknown", "x"),
    ]
}

fn meta() -> Vec<Ask> {
    let named = |name: &str, header: &str, body: &str| {
        let body = body.to_owned();
        tools(name)
            .with("mcp-protocol-version", header)
            .but(|message| message["params"]["_meta"][VERSION] = body.into())
    };
    vec![
        tools("no version header").without("mcp-protocol-version"),
        tools("two version headers").and("mcp-protocol-version", "2026-07-28"),
        named("another version header", "2025-11-25", "2026-07-28"),
        named("a version header of nobody", "v999", "2026-07-28"),
        named("another version in the body", "2026-07-28", "v999"),
        named("a version of nobody", "v999", "v999"),
        named("a version of tomorrow", "2027-01-01", "2027-01-01"),
        named("a legacy version in both", "2025-11-25", "2025-11-25"),
        tools("no _meta").but(|message| message["params"] = json!({})),
        tools("no params").but(|message| message["params"] = Value::Null),
        tools("_meta a text").but(|message| message["params"]["_meta"] = "x".into()),
        tools("no version in _meta").but(|message| message["params"]["_meta"][VERSION] = Value::Null),
        tools("a version that is a number").but(|message| message["params"]["_meta"][VERSION] = 2026.into()),
        tools("no capabilities").but(|message| message["params"]["_meta"][CAPABILITIES] = Value::Null),
        tools("capabilities a list").but(|message| message["params"]["_meta"][CAPABILITIES] = json!([])),
        tools("other things in _meta").but(|message| message["params"]["_meta"]["com.example/x"] = json!([1])),
        tools("a session id along with it").with("mcp-session-id", "nobody"),
        tools("an event id along with it").with("last-event-id", "nothing"),
    ]
}

fn messages() -> Vec<Ask> {
    let id = |name: &str, id: Value| tools(name).but(|message| message["id"] = id);
    let notification = |name: &str, method: &'static str| {
        Ask::modern(name, method, json!({})).but(|message| {
            if let Some(message) = message.as_object_mut() {
                message.remove("id");
            }
        })
    };
    let raw = |name: &str, body: &str| Ask {
        body: body.as_bytes().to_vec(),
        ..tools(name)
    };
    vec![
        id("id text", json!("seven")),
        id("id float", json!(7.5)),
        id("id null", Value::Null),
        id("id bool", json!(true)),
        notification("a cancellation", "notifications/cancelled"),
        notification("an unknown notification", "notifications/nothing"),
        raw("a response to nothing", r#"{"jsonrpc":"2.0","id":99,"result":{}}"#),
        raw("a batch", r#"[{"jsonrpc":"2.0","id":7,"method":"tools/list"}]"#),
        raw("bad JSON", "{"),
        raw("no body", ""),
    ]
}

fn carriers() -> Vec<Ask> {
    vec![
        tools("accept JSON").with("accept", "application/json"),
        tools("accept anything").with("accept", "*/*"),
        tools("accept no events").with("accept", "application/json, text/event-stream;q=0"),
        tools("text").with("content-type", "text/plain"),
        tools("a host of elsewhere").with("host", "evil.example"),
        tools("a page of elsewhere").with("origin", "https://evil.example"),
        tools("GET").verb("GET"),
        tools("GET of a session").verb("GET").with("mcp-session-id", "nobody"),
        tools("DELETE").verb("DELETE"),
        tools("DELETE of a session")
            .verb("DELETE")
            .with("mcp-session-id", "nobody"),
        tools("PUT").verb("PUT"),
        tools("HEAD").verb("HEAD"),
    ]
}
