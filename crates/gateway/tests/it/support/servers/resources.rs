//! A server of one era with one of each thing that has a URI; every byte of its replies is known.

use portolan_fixtures::scripted::{Reply, Request, ScriptedServer};
use serde_json::json;

use super::scripted;

/// Its lists, apart from the members of an era.
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

/// Starts it. A call of `give` has the result `given`; the text of a resource is `of` and the server's name.
pub(crate) async fn resource_server(modern: bool, name: &'static str, given: impl Into<String>) -> ScriptedServer {
    let given = given.into();
    scripted(move |request| serve(modern, name, &given, request)).await
}

fn serve(modern: bool, name: &str, given: &str, request: &Request) -> Reply {
    let capabilities = r#""capabilities":{"tools":{},"resources":{"subscribe":true},"prompts":{},"completions":{}}"#;
    let hints = if modern {
        r#","resultType":"complete","ttlMs":0,"cacheScope":"private""#
    } else {
        ""
    };
    let result = |members: &str| Reply::result(request, format!("{{{members}{hints}}}"));
    if let Some((_, list)) = LISTS.iter().find(|(method, _)| *method == request.method()) {
        return result(list);
    }
    match request.method() {
        "server/discover" if modern => result(&format!(r#""supportedVersions":["2026-07-28"],{capabilities}"#)),
        "initialize" if !modern => {
            let server = r#""serverInfo":{"name":"s","version":"1"}"#;
            result(&format!(r#""protocolVersion":"2025-11-25",{capabilities},{server}"#))
        }
        "tools/call" => Reply::result(request, given),
        "resources/read" => read(modern, name, request, result),
        "completion/complete" if request.params()["ref"]["uri"] == "note://{id}{?deep}" => {
            result(&format!(r#""completion":{{"values":["{name}"]}}"#))
        }
        method if method.starts_with("notifications/") => Reply::status(202),
        _ => Reply::error(request, -32601, "no such method").with_status(404),
    }
}

fn read(modern: bool, name: &str, request: &Request, result: impl Fn(&str) -> Reply) -> Reply {
    let uri = &request.params()["uri"];
    let mirrored = request.header("mcp-name");
    if modern && mirrored != uri.as_str().map(str::to_ascii_lowercase).as_deref() {
        return Reply::error(request, -32020, "the header names another resource").with_status(400);
    }
    match uri.as_str() {
        Some("note://1" | "note://2" | "ui://app/main") => {
            result(&format!(r#""contents":[{{"uri":{uri},"text":"of {name}"}}]"#))
        }
        _ if modern => {
            let error = json!({"code": -32602, "message": "no such note", "data": {"uri": uri}});
            Reply::error_with(request, error)
        }
        _ => Reply::error(request, -32002, "no such note"),
    }
}
