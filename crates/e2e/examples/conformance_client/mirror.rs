//! What a modern client repeats in headers (2026-07-28, basic/transports; SEP-2243).

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::Value;

/// `Mcp-Name`, where the method has one.
pub(crate) fn name(method: &str, params: &Value) -> Vec<(String, String)> {
    let name = match method {
        "tools/call" | "prompts/get" => &params["name"],
        "resources/read" => &params["uri"],
        _ => return Vec::new(),
    };
    let name = name.as_str().map(encoded);
    name.map(|name| ("mcp-name".to_owned(), name)).into_iter().collect()
}

/// `Mcp-Param-…` of the arguments that the schema marks.
pub(crate) fn params(schema: &Value, arguments: &Value) -> Vec<(String, String)> {
    let Some(properties) = schema["properties"].as_object() else {
        return Vec::new();
    };
    let marked = properties
        .iter()
        .filter_map(|(property, schema)| Some((schema["x-mcp-header"].as_str()?, &arguments[property])));
    marked
        .filter_map(|(header, value)| {
            let value = match value {
                Value::String(text) => encoded(text),
                Value::Bool(_) | Value::Number(_) => value.to_string(),
                _ => return None,
            };
            Some((format!("mcp-param-{header}"), value))
        })
        .collect()
}

/// Text as it may stand in a header.
fn encoded(text: &str) -> String {
    let plain = text.bytes().all(|byte| (b' '..=b'~').contains(&byte)) && text.trim() == text;
    if plain && !text.starts_with("=?base64?") {
        text.to_owned()
    } else {
        format!("=?base64?{}?=", STANDARD.encode(text))
    }
}
