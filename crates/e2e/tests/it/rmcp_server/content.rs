//! The prompts, resources and completions.

use rmcp::ErrorData;
use serde_json::{Value, json};

/// A small image.
pub(super) const PNG: &str =
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg==";

const VALUES: [&str; 5] = ["paris", "park", "party", "test", "testing"];

pub(super) fn prompts(with_dynamic: bool) -> Vec<Value> {
    let argument = |name: &str| json!({ "name": name, "description": "An argument", "required": true });
    let mut prompts = vec![
        json!({ "name": "test_simple_prompt", "title": "Simple", "description": "A prompt without arguments" }),
        json!({
            "name": "test_prompt_with_arguments",
            "description": "A prompt with two arguments",
            "arguments": [argument("arg1"), argument("arg2")],
        }),
        json!({
            "name": "test_prompt_with_embedded_resource",
            "description": "A prompt with a resource in it",
            "arguments": [argument("resourceUri")],
        }),
        json!({ "name": "test_prompt_with_image", "description": "A prompt with an image in it" }),
    ];
    if with_dynamic {
        prompts.push(json!({ "name": "test_dynamic_prompt", "description": "A prompt that comes and goes" }));
    }
    prompts
}

pub(super) fn prompt(name: &str, arguments: &Value) -> Result<Value, ErrorData> {
    let text = |text: String| json!({ "type": "text", "text": text });
    let contents = match name {
        "test_simple_prompt" => vec![text("This is a simple prompt for testing.".to_owned())],
        "test_prompt_with_arguments" => {
            let said = |name: &str| arguments[name].as_str().unwrap_or("nothing").to_owned();
            vec![text(format!("{} and {}", said("arg1"), said("arg2")))]
        }
        "test_prompt_with_embedded_resource" => {
            let resource = json!({ "uri": arguments["resourceUri"], "mimeType": "text/plain", "text": "Embedded." });
            vec![json!({ "type": "resource", "resource": resource })]
        }
        "test_prompt_with_image" => vec![json!({ "type": "image", "data": PNG, "mimeType": "image/png" })],
        _ => return Err(ErrorData::invalid_params("no such prompt", None)),
    };
    let messages: Vec<Value> = contents
        .into_iter()
        .map(|content| json!({ "role": "user", "content": content }))
        .collect();
    Ok(json!({ "messages": messages }))
}

pub(super) fn resources(with_dynamic: bool) -> Vec<Value> {
    let entry = |name: &str, kind: &str| json!({ "uri": format!("test://{name}"), "name": name, "mimeType": kind });
    let mut resources = vec![
        entry("static-text", "text/plain"),
        entry("static-binary", "image/png"),
        entry("watched-resource", "text/plain"),
    ];
    if with_dynamic {
        resources.push(entry("dynamic-resource", "text/plain"));
    }
    resources
}

pub(super) fn templates() -> Value {
    json!([{
        "uriTemplate": "test://template/{id}/data",
        "name": "test_template",
        "description": "Data by id",
        "mimeType": "application/json",
    }])
}

pub(super) fn resource(uri: &str) -> Result<Value, ErrorData> {
    let text = |text: &str| json!([{ "uri": uri, "mimeType": "text/plain", "text": text }]);
    let id = uri
        .strip_prefix("test://template/")
        .and_then(|rest| rest.strip_suffix("/data"));
    Ok(match (uri, id) {
        ("test://static-text", _) => text("This is the content of the static text resource."),
        ("test://static-binary", _) => json!([{ "uri": uri, "mimeType": "image/png", "blob": PNG }]),
        ("test://watched-resource", _) => text("This is the content of the watched resource."),
        (_, Some(id)) => text(id),
        _ => {
            return Err(ErrorData::resource_not_found(
                "Resource not found",
                Some(json!({ "uri": uri })),
            ));
        }
    })
}

pub(super) fn completion(params: &Value) -> Value {
    let start = params["argument"]["value"].as_str().unwrap_or_default();
    let context = params["context"]["arguments"]["first"].as_str();
    let mut values: Vec<&str> = VALUES.into_iter().filter(|value| value.starts_with(start)).collect();
    values.extend(context);
    json!({ "completion": { "values": values, "total": values.len(), "hasMore": false } })
}
