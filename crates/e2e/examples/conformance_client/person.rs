//! The person at the client, who agrees to everything and leaves forms as they are.

use serde_json::{Map, Value, json};

pub(crate) fn capabilities() -> Value {
    json!({"elicitation": {"form": {}}})
}

pub(crate) fn client_info() -> Value {
    json!({"name": "conformance-front", "version": env!("CARGO_PKG_VERSION")})
}

/// The answer to a server's question.
pub(crate) fn answer(method: &str, params: &Value) -> Value {
    match method {
        "elicitation/create" => json!({"action": "accept", "content": filled(&params["requestedSchema"])}),
        _ => json!({}),
    }
}

/// A form with its defaults (SEP-1034), and with the least that fits where a field has none.
fn filled(schema: &Value) -> Value {
    let properties = schema["properties"].as_object().into_iter().flatten();
    let fields: Map<String, Value> = properties
        .map(|(name, field)| {
            (
                name.clone(),
                field.get("default").cloned().unwrap_or_else(|| least(field)),
            )
        })
        .collect();
    Value::Object(fields)
}

/// The least value that a schema's type lets through.
pub(crate) fn least(schema: &Value) -> Value {
    if let Some(first) = schema["enum"].as_array().and_then(|values| values.first()) {
        return first.clone();
    }
    match schema["type"].as_str() {
        Some("boolean") => json!(true),
        Some("integer" | "number") => schema.get("minimum").cloned().unwrap_or_else(|| json!(1)),
        Some("array") => json!([]),
        Some("object") => json!({}),
        _ => json!("text"),
    }
}
