//! What the cluster says is ours of an object, against what we want of it.
//!
//! Server-side apply keeps, for each field manager, the set of fields that it set last. Whoever changes one of our fields
//! takes it out of our set. So an object has drifted exactly if our set no longer has all that we want; values need not be
//! compared, which the API server may have written differently (`1024Mi` as `1Gi`) or filled in.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ManagedFieldsEntry, ObjectMeta};
use serde_json::{Map, Value};

/// The field manager of what we change about a running deployment, beside its wish: sleep, restarts, who uses it.
/// Another one, so that applying the wish anew takes none of it back.
pub(crate) fn operations_manager(manager: &str) -> String {
    format!("{manager}-operate")
}

/// The fields of an object that `manager` applied, as the API server keeps them; null where there are none.
pub(crate) fn applied_by<'a>(metadata: &'a ObjectMeta, manager: &str) -> &'a Value {
    let applied = |entry: &&ManagedFieldsEntry| {
        entry.manager.as_deref() == Some(manager) && entry.operation.as_deref() == Some("Apply")
    };
    let entry = metadata.managed_fields.iter().flatten().find(applied);
    let fields = entry.and_then(|entry| entry.fields_v1.as_ref());
    fields.map_or(&Value::Null, |fields| &fields.0)
}

/// Whether `fields` has everything that `wanted` has.
pub(crate) fn covers(fields: &Value, wanted: &Value) -> bool {
    let Value::Object(fields) = fields else { return false };
    match wanted {
        // The set of an atomic value, such as a selector, has no parts.
        _ if fields.keys().all(|key| key == ".") => true,
        Value::Object(wanted) => wanted.iter().all(|(key, value)| covers_key(fields, key, value)),
        Value::Array(wanted) => wanted.iter().all(|item| covers_item(fields, item)),
        _ => true,
    }
}

fn covers_key(fields: &Map<String, Value>, key: &str, value: &Value) -> bool {
    // Who is it, and what stands for nothing, is in no set.
    let identity =
        matches!(key, "apiVersion" | "kind" | "name" | "namespace") && !fields.contains_key(&format!("f:{key}"));
    if identity || is_nothing(value) {
        return true;
    }
    fields
        .get(&format!("f:{key}"))
        .is_some_and(|fields| covers(fields, value))
}

/// An item of a list is found by the fields that make its key, or by its value.
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

/// What an item leaves out of its key, the server filled in: `protocol: TCP`.
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
    fn an_object_as_we_applied_it_is_all_ours() {
        assert!(covers(&fields(), &wanted()));
    }

    #[test]
    fn a_field_that_somebody_else_set_is_ours_no_longer() {
        let mut taken = fields();
        let container = &mut taken["f:spec"]["f:template"]["f:spec"]["f:containers"]["k:{\"name\":\"mcp-server\"}"];
        container.as_object_mut().expect("an object").remove("f:image");
        assert!(!covers(&taken, &wanted()));
    }

    #[test]
    fn an_item_that_somebody_else_removed_is_missed() {
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
    fn what_others_add_does_not_matter() {
        let mut more = fields();
        more["f:spec"]["f:replicas"] = json!({});
        assert!(covers(&more, &wanted()));
    }
}
