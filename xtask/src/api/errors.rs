//! Public functions that return a `Result` say in a section `# Errors` when they fail.
//!
//! Clippy's `missing_errors_doc` says the same, but not of async methods of traits, whose signature a macro rewrites.

use std::collections::HashSet;

use serde_json::Value;

/// The functions in rustdoc's JSON that lack the section, as `file:line name`, in order.
pub(super) fn undocumented(api: &Value) -> Vec<String> {
    let items: Vec<(&String, &Value)> = api["index"].as_object().into_iter().flatten().collect();
    // Methods of a trait's implementation have the documentation of the trait.
    let implementations: HashSet<String> = items
        .iter()
        .map(|(_, item)| &item["inner"]["impl"])
        .filter(|implementation| implementation["trait"].is_object())
        .flat_map(|implementation| implementation["items"].as_array().into_iter().flatten())
        .map(Value::to_string)
        .collect();
    let mut found: Vec<(&str, u64, &str)> = items
        .into_iter()
        .filter(|(id, item)| item["crate_id"] == 0 && !implementations.contains(*id))
        .filter(|(_, item)| is_fallible(&item["inner"]["function"]["sig"]["output"]))
        .filter(|(_, item)| !item["docs"].as_str().unwrap_or_default().contains("# Errors"))
        .map(|(_, item)| {
            let span = &item["span"];
            (
                span["filename"].as_str().unwrap_or_default(),
                span["begin"][0].as_u64().unwrap_or_default(),
                item["name"].as_str().unwrap_or_default(),
            )
        })
        .collect();
    found.sort_unstable();
    found
        .into_iter()
        .map(|(file, line, name)| format!("{file}:{line} {name}"))
        .collect()
}

/// Whether a type is a `Result` or has one in it, as a boxed future has.
fn is_fallible(output: &Value) -> bool {
    match output {
        Value::Object(members) => {
            let path = members.get("resolved_path").and_then(|path| path["path"].as_str());
            path.is_some_and(|path| path == "Result" || path.ends_with("::Result")) || members.values().any(is_fallible)
        }
        Value::Array(elements) => elements.iter().any(is_fallible),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn function(name: &str, docs: &str, output: &Value) -> Value {
        json!({
            "crate_id": 0, "name": name, "docs": docs, "span": {"filename": "a.rs", "begin": [7, 1]},
            "inner": {"function": {"sig": {"output": output}}},
        })
    }

    #[test]
    fn fallible_functions_need_a_section() {
        let result = json!({"resolved_path": {"path": "crate::Result"}});
        let future = json!({"resolved_path": {"path": "Pin", "args": [{"type": result}]}});
        let api = json!({"index": {
            "1": function("plain", "Says something.", &result),
            "2": function("documented", "Says something.\n\n# Errors\n\nNever.", &result),
            "3": function("infallible", "", &json!(null)),
            "4": function("boxed", "", &future),
            "5": function("implemented", "", &result),
            "6": {"inner": {"impl": {"trait": {"path": "Trait"}, "items": [5]}}},
            "7": {"inner": {"impl": {"trait": null, "items": [1]}}},
        }});
        assert_eq!(undocumented(&api), ["a.rs:7 boxed", "a.rs:7 plain"]);
    }
}
