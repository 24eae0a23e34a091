//! Drift detection by the managed fields of server-side apply.
//!
//! The API server keeps the set of fields that each field manager applied last. A change of a field by another manager removes
//! it from our set. So an object has drifted exactly if our set does not cover the wanted fields. Values are not compared: the
//! API server may normalize them (`1024Mi` to `1Gi`) or fill in defaults.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ManagedFieldsEntry, ObjectMeta};
use serde_json::{Map, Value};

/// Returns the field manager for changes of a running deployment: sleep, resets, users. It is not the one that applies, so that
/// an apply reverts none of these.
pub(crate) fn operations_manager(manager: &str) -> String {
    format!("{manager}-operate")
}

/// Returns the set of fields that `manager` applied; null if there is none.
pub(crate) fn applied_by<'a>(metadata: &'a ObjectMeta, manager: &str) -> &'a Value {
    let applied = |entry: &&ManagedFieldsEntry| {
        entry.manager.as_deref() == Some(manager) && entry.operation.as_deref() == Some("Apply")
    };
    let entry = metadata.managed_fields.iter().flatten().find(applied);
    let fields = entry.and_then(|entry| entry.fields_v1.as_ref());
    fields.map_or(&Value::Null, |fields| &fields.0)
}

/// Returns whether `fields` contains every field of `wanted`.
pub(crate) fn covers(fields: &Value, wanted: &Value) -> bool {
    let Value::Object(fields) = fields else { return false };
    match wanted {
        // The set of an atomic value, such as a selector, has no members.
        _ if fields.keys().all(|key| key == ".") => true,
        Value::Object(wanted) => wanted.iter().all(|(key, value)| covers_key(fields, key, value)),
        Value::Array(wanted) => wanted.iter().all(|item| covers_item(fields, item)),
        _ => true,
    }
}

fn covers_key(fields: &Map<String, Value>, key: &str, value: &Value) -> bool {
    // Identity fields and empty values are in no set.
    let identity =
        matches!(key, "apiVersion" | "kind" | "name" | "namespace") && !fields.contains_key(&format!("f:{key}"));
    if identity || is_nothing(value) {
        return true;
    }
    fields
        .get(&format!("f:{key}"))
        .is_some_and(|fields| covers(fields, value))
}

/// Finds a list item by its key fields, or by its value.
fn covers_item(fields: &Map<String, Value>, item: &Value) -> bool {
    fields.iter().any(|(key, fields)| {
        if let Some(key) = key.strip_prefix("k:") {
            return serde_json::from_str::<Map<String, Value>>(key).is_ok_and(|key| has_key(item, &key))
                && covers(fields, item);
        }
        if let Some(value) = key.strip_prefix("v:") {
            return serde_json::from_str::<Value>(value).is_ok_and(|value| value == *item);
        }
        key.starts_with("i:")
    })
}

/// Compares the key fields that the item has; the server filled in the others, such as `protocol: TCP`.
fn has_key(item: &Value, key: &Map<String, Value>) -> bool {
    key.iter()
        .all(|(name, value)| item.get(name).is_none_or(|own| own == value))
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(map) => map.is_empty(),
        Value::Array(list) => list.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fields() -> Value {
        json!({
            "f:metadata": { "f:labels": { "f:app": {} }, "f:annotations": { "f:portolan.dev/digest": {} } },
            "f:spec": {
                "f:selector": {},
                "f:template": { "f:spec": { "f:containers": {
                    "k:{\"name\":\"mcp-server\"}": {
                        ".": {}, "f:name": {}, "f:image": {}, "f:args": {},
                        "f:ports": { "k:{\"containerPort\":8080,\"protocol\":\"TCP\"}": { ".": {}, "f:containerPort": {} } },
                        "f:env": { "k:{\"name\":\"A\"}": { ".": {}, "f:name": {}, "f:value": {} } },
                    }
                } } }
            }
        })
    }

    fn wanted() -> Value {
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": { "name": "a", "namespace": "b", "labels": { "app": "x" }, "annotations": { "portolan.dev/digest": "1" } },
            "spec": {
                "selector": { "matchLabels": { "app": "x" } },
                "template": { "spec": { "initContainers": [], "volumes": null, "containers": [{
                    "name": "mcp-server", "image": "i", "args": ["a", "b"],
                    "ports": [{ "containerPort": 8080 }], "env": [{ "name": "A", "value": "1" }],
                }] } }
            }
        })
    }

    #[test]
    fn unchanged_object_is_covered() {
        assert!(covers(&fields(), &wanted()));
    }

    #[test]
    fn field_of_other_manager_is_drift() {
        let mut taken = fields();
        let container = &mut taken["f:spec"]["f:template"]["f:spec"]["f:containers"]["k:{\"name\":\"mcp-server\"}"];
        container.as_object_mut().expect("an object").remove("f:image");
        assert!(!covers(&taken, &wanted()));
    }

    #[test]
    fn removed_item_is_drift() {
        let mut taken = fields();
        let container = &mut taken["f:spec"]["f:template"]["f:spec"]["f:containers"]["k:{\"name\":\"mcp-server\"}"];
        container["f:env"] = json!({});
        assert!(covers(&taken, &wanted()), "an empty set stands for the whole");
        container_env(&mut taken, json!({ "k:{\"name\":\"B\"}": { ".": {} } }));
        assert!(!covers(&taken, &wanted()));
    }

    fn container_env(fields: &mut Value, env: Value) {
        fields["f:spec"]["f:template"]["f:spec"]["f:containers"]["k:{\"name\":\"mcp-server\"}"]["f:env"] = env;
    }

    #[test]
    fn added_fields_are_ignored() {
        let mut more = fields();
        more["f:spec"]["f:replicas"] = json!({});
        assert!(covers(&more, &wanted()));
    }
}
