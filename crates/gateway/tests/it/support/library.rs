//! A server of one era with one of each thing that has a URI, written by hand: every byte of it is known.

use serde_json::Value;

use super::script::{Act, Asked, Script, answer};

/// What it says of itself and lists, apart from the era's own members.
const LISTS: [(&str, &str); 4] = [
    (
        "tools/list",
        r#""tools":[{"name":"give","inputSchema":{"type":"object"},"_meta":{"ui" : {"resourceUri":"ui:\/\/app\/main","n":1.0},"ui/resourceUri":"ui://app/main","openai/outputTemplate":"ui://app/old","x":{"resourceUri":"ui://app/main"}}}]"#,
    ),
    (
        "resources/list",
        r#""resources":[{"uri":"note://1","name":"one" , "size":1.50e1,"icons":[{"src":"note://icon"}]},{"name":"app","uri":"ui://app/main"}]"#,
    ),
    (
        "resources/templates/list",
        r#""resourceTemplates":[{"name":"any","uriTemplate":"note://{id}{?deep}"}]"#,
    ),
    ("prompts/list", r#""prompts":[{"name":"ask"}]"#),
];

/// Starts it. A call of `give` gives the result `given`; a resource says the name of the server.
pub(crate) async fn library(modern: bool, name: &'static str, given: impl Into<String>) -> Script {
    let given = given.into();
    Script::start(move |asked| served(modern, name, &given, asked)).await
}

fn served(modern: bool, name: &str, given: &str, asked: &Asked) -> Act {
    let capabilities = r#"{"tools":{},"resources":{"subscribe":true},"prompts":{},"completions":{}}"#;
    let hints = if modern {
        r#","resultType":"complete","ttlMs":0,"cacheScope":"private""#
    } else {
        ""
    };
    let params = &asked.body["params"];
    if let Some((_, list)) = LISTS.iter().find(|(method, _)| *method == asked.method()) {
        return answer(asked, &format!("{{{list}{hints}}}"));
    }
    match asked.method() {
        "server/discover" if modern => answer(
            asked,
            &format!(r#"{{"supportedVersions":["2026-07-28"],"capabilities":{capabilities}{hints}}}"#),
        ),
        "initialize" if !modern => answer(
            asked,
            &format!(
                r#"{{"protocolVersion":"2025-11-25","capabilities":{capabilities},"serverInfo":{{"name":"s","version":"1"}}}}"#
            ),
        ),
        "tools/call" => answer(asked, given),
        "resources/read" => {
            let is_mirrored = asked.head.lines().any(|line| {
                let value = line.strip_prefix("mcp-name:").map(str::trim);
                value == params["uri"].as_str().map(str::to_ascii_lowercase).as_deref()
            });
            if modern && !is_mirrored {
                return failed(asked, -32020, "the header names another resource", &Value::Null);
            }
            match params["uri"].as_str() {
                Some("note://1" | "note://2" | "ui://app/main") => answer(
                    asked,
                    &format!(
                        r#"{{"contents":[{{"uri":{},"text":"of {name}"}}]{hints}}}"#,
                        params["uri"]
                    ),
                ),
                _ if modern => failed(asked, -32602, "no such note", params),
                _ => failed(asked, -32002, "no such note", &Value::Null),
            }
        }
        "completion/complete" if params["ref"]["uri"] == "note://{id}{?deep}" => {
            answer(asked, &format!(r#"{{"completion":{{"values":["{name}"]}}{hints}}}"#))
        }
        method if method.starts_with("notifications/") => Act::Answer(202, "text/plain", String::new()),
        _ => failed(asked, -32601, "no such method", &Value::Null),
    }
}

fn failed(asked: &Asked, code: i64, message: &str, params: &Value) -> Act {
    let data = match params {
        Value::Null => String::new(),
        params => format!(r#","data":{{"uri":{}}}"#, params["uri"]),
    };
    let body = format!(
        r#"{{"jsonrpc":"2.0","id":{},"error":{{"code":{code},"message":"{message}"{data}}}}}"#,
        asked.id()
    );
    let status = match code {
        -32020 => 400,
        -32601 => 404,
        _ => 200,
    };
    Act::Answer(status, "application/json", body)
}
