//! References to Secrets: a server may refer to its own Secret and to those that the host allows.

use portolan_core::{Error, Result};
use serde_json::Value;

use super::{FIELD, ManifestRules};

/// Checks all references to Secrets in a pod spec.
///
/// Every field that is named like a reference counts as one, at any depth, so that a new volume type is covered too.
pub(super) fn check(pod: &Value, rules: &ManifestRules<'_>) -> Result<()> {
    for reference in list(&pod["imagePullSecrets"]) {
        check_reference(reference, rules)?;
    }
    walk(pod, rules)
}

fn walk(value: &Value, rules: &ManifestRules<'_>) -> Result<()> {
    match value {
        Value::Array(items) => items.iter().try_for_each(|item| walk(item, rules)),
        Value::Object(fields) => fields.iter().try_for_each(|(key, field)| {
            let key = key.to_ascii_lowercase();
            match field {
                Value::String(name) if key == "secretname" => rules.check_secret(FIELD, name)?,
                Value::String(_) if key == "secretnamespace" => return Err(other_namespace()),
                Value::Object(_) if key == "secret" || key.ends_with("secretref") || key.ends_with("secretkeyref") => {
                    check_reference(field, rules)?;
                }
                _ => {}
            }
            walk(field, rules)
        }),
        _ => Ok(()),
    }
}

fn check_reference(reference: &Value, rules: &ManifestRules<'_>) -> Result<()> {
    match reference["name"].as_str() {
        Some(name) => rules.check_secret(FIELD, name),
        None => Ok(()),
    }
}

fn other_namespace() -> Error {
    super::invalid("secretNamespace: reads the secrets of another namespace; remove it")
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

impl ManifestRules<'_> {
    /// Checks that the server may refer to the Secret `name`.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] for `field` if it may not.
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
                "the secret {name:?} is not allowed; use ${{portolan.secret_name}}, or add it to \
                 KubeConfig::allowed_secrets"
            ),
        ))
    }

    /// Returns whether `key` is missing in the Secret `name`, if that is the server's own.
    pub(crate) fn is_missing_own_key(&self, name: &str, key: &str) -> bool {
        name == self.own_secret && !self.own_keys.is_some_and(|keys| keys.contains_key(key))
    }
}
