//! References to Secrets: a server may name its own, and what the host allows, or it could read those of others.

use portolan_core::{Error, Result};
use serde_json::Value;

use super::{FIELD, YamlRules};

/// Fails for a reference below the pod's spec to a Secret that is not allowed.
///
/// Whatever is called like a reference is taken for one, at any depth: a new kind of volume must not be a way around.
pub(super) fn check(pod: &Value, rules: &YamlRules<'_>) -> Result<()> {
    for reference in list(&pod["imagePullSecrets"]) {
        named(reference, rules)?;
    }
    walk(pod, rules)
}

fn walk(value: &Value, rules: &YamlRules<'_>) -> Result<()> {
    match value {
        Value::Array(items) => items.iter().try_for_each(|item| walk(item, rules)),
        Value::Object(fields) => fields.iter().try_for_each(|(key, field)| {
            let key = key.to_ascii_lowercase();
            match field {
                Value::String(name) if key == "secretname" => rules.check_secret(FIELD, name)?,
                Value::String(_) if key == "secretnamespace" => return Err(elsewhere()),
                Value::Object(_) if key == "secret" || key.ends_with("secretref") || key.ends_with("secretkeyref") => {
                    named(field, rules)?;
                }
                _ => {}
            }
            walk(field, rules)
        }),
        _ => Ok(()),
    }
}

fn named(reference: &Value, rules: &YamlRules<'_>) -> Result<()> {
    match reference["name"].as_str() {
        Some(name) => rules.check_secret(FIELD, name),
        None => Ok(()),
    }
}

fn elsewhere() -> Error {
    super::refused("secretNamespace: reaches the secrets of another namespace; take it out")
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

impl YamlRules<'_> {
    /// Fails unless the server may refer to the Secret `name`.
    pub(crate) fn check_secret(&self, field: &str, name: &str) -> Result<()> {
        let is_allowed = name == self.own_secret
            || self.other_secrets.contains(name)
            || self.pull_secrets.iter().any(|own| own == name);
        if is_allowed {
            return Ok(());
        }
        Err(Error::invalid(
            field,
            format!(
                "the secret {name:?} may not be referred to; use ${{portolan.secret_name}}, or add it to \
                 KubeConfig::allowed_secrets"
            ),
        ))
    }

    /// Whether `key` of the Secret `name` is one of the server's own that has no value.
    pub(crate) fn is_without_value(&self, name: &str, key: &str) -> bool {
        name == self.own_secret && !self.own_keys.is_some_and(|keys| keys.contains_key(key))
    }
}
