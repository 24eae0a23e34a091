//! Placeholders in a manifest.

use std::collections::BTreeMap;

use portolan_core::{EnvValue, Result, Source};
use serde_json::{Value, json};

use super::{PlaceholderInput, invalid};
use crate::{
    escape::escaped,
    name::{self, DeploymentKey, secret_env_key},
};

/// The values of all placeholders.
#[derive(Debug)]
pub(super) struct PlaceholderValues<'a> {
    env: &'a BTreeMap<String, EnvValue>,
    secret_name: String,
    /// The values of `portolan.*`, by the part after the dot.
    platform: BTreeMap<&'static str, String>,
    arguments: &'a [String],
}

/// The value of one placeholder.
enum Resolved<'a> {
    Text(&'a str),
    Arguments,
    Secret(&'a str),
    /// No value, with a warning that says why.
    Unresolved(String),
}

impl<'a> PlaceholderValues<'a> {
    pub(super) fn new(input: PlaceholderInput<'a>) -> Result<Self> {
        let spec = input.spec;
        let (image, program, arguments) = match &spec.source {
            Source::Command { program, args, .. } => (input.base_image, Some(program), args),
            Source::Image {
                image, program, args, ..
            } => (image, program.as_ref(), args),
            _ => return Err(invalid("has no effect on a remote server; remove it")),
        };
        let deployment = DeploymentKey::of(input.install, spec).deployment_name(&spec.server);
        let account = spec.kubernetes.service_account.as_deref().unwrap_or("default");
        let secret_name = name::secret(&deployment);
        let platform = [
            ("deployment_name", deployment),
            ("server_id", input.install.to_string()),
            ("server_name", spec.server.to_string()),
            ("namespace", input.namespace.to_owned()),
            ("docker_image", image.clone()),
            ("secret_name", secret_name.clone()),
            ("command", program.cloned().unwrap_or_default()),
            ("arguments", json!(arguments).to_string()),
            ("service_account", account.to_owned()),
        ];
        Ok(Self {
            env: &spec.env,
            secret_name,
            platform: platform.into(),
            arguments,
        })
    }

    /// Replaces every placeholder in `value`. Each one without a value adds a warning.
    pub(super) fn fill(&self, value: &mut Value, warnings: &mut Vec<String>) -> Result<()> {
        self.fill_in(value, false, warnings)
    }

    /// `expands` tells whether Kubernetes expands `$(NAME)` here, so that values must be escaped.
    fn fill_in(&self, value: &mut Value, expands: bool, warnings: &mut Vec<String>) -> Result<()> {
        match value {
            Value::String(text) => {
                if text == "${portolan.arguments}" {
                    *value = self.arguments.iter().map(|text| escaped(text)).collect();
                } else {
                    *text = self.fill_text(text, expands, warnings)?;
                }
            }
            Value::Array(items) => {
                for item in items {
                    self.fill_in(item, expands, warnings)?;
                }
            }
            Value::Object(fields) => {
                for (key, field) in fields {
                    if let ("env", Value::Array(variables)) = (key.as_str(), &mut *field) {
                        self.fill_variables(variables, warnings);
                    }
                    let expands = expands || matches!(key.as_str(), "env" | "command" | "args");
                    self.fill_in(field, expands, warnings)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Replaces environment variables whose whole value is one placeholder: a secret becomes a reference, and a variable
    /// without a value is removed.
    fn fill_variables(&self, variables: &mut Vec<Value>, warnings: &mut Vec<String>) {
        let mut kept = Vec::with_capacity(variables.len());
        for mut variable in variables.drain(..) {
            let whole = variable
                .get("value")
                .and_then(Value::as_str)
                .and_then(single_placeholder)
                .map(str::to_owned);
            match whole.as_deref().map(|inner| (self.resolve(inner), is_variable(inner))) {
                Some((Resolved::Secret(name), _)) => {
                    let reference =
                        json!({ "secretKeyRef": { "name": self.secret_name, "key": secret_env_key(name) } });
                    if let Some(fields) = variable.as_object_mut() {
                        fields.remove("value");
                        fields.insert("valueFrom".into(), reference);
                    }
                    kept.push(variable);
                }
                Some((Resolved::Unresolved(why), true)) => warnings.push(why),
                _ => kept.push(variable),
            }
        }
        *variables = kept;
    }

    /// Returns `text` with its placeholders replaced.
    fn fill_text(&self, text: &str, expands: bool, warnings: &mut Vec<String>) -> Result<String> {
        let mut filled = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${") {
            filled.push_str(before);
            let Some((inner, after)) = after.split_once('}') else {
                warnings.push(format!("\"${{{after}\" has no closing brace and is kept as text"));
                filled.push_str("${");
                rest = after;
                continue;
            };
            match self.resolve(inner) {
                Resolved::Text(value) if expands => filled.push_str(&escaped(value)),
                Resolved::Text(value) => filled.push_str(value),
                Resolved::Arguments => filled.push_str(&escaped(&json!(self.arguments).to_string())),
                Resolved::Secret(name) => return Err(misplaced(name)),
                Resolved::Unresolved(why) => {
                    warnings.push(why);
                    filled.push_str(&format!("${{{inner}}}"));
                }
            }
            rest = after;
        }
        filled.push_str(rest);
        Ok(filled)
    }

    fn resolve<'f>(&'f self, inner: &'f str) -> Resolved<'f> {
        let unresolved = |why: &str| Resolved::Unresolved(format!("${{{inner}}} {why}"));
        match inner.split_once('.') {
            Some(("portolan", "arguments")) => Resolved::Arguments,
            Some(("portolan", key)) => match self.platform.get(key) {
                Some(text) => Resolved::Text(text),
                None => unresolved("is not a known placeholder and is kept as text"),
            },
            Some(("env", name)) => match self.env.get(name) {
                Some(EnvValue::Plain(text)) => Resolved::Text(text),
                Some(EnvValue::Secret(_)) => Resolved::Secret(name),
                None => unresolved("refers to a variable without a value"),
            },
            Some(("secret", name)) => match self.env.get(name) {
                Some(EnvValue::Secret(_)) => Resolved::Secret(name),
                Some(EnvValue::Plain(_)) => unresolved("is not a secret; use ${env.…}"),
                None => unresolved("refers to a secret without a value"),
            },
            _ => unresolved("is not a placeholder and is kept as text"),
        }
    }
}

fn misplaced(name: &str) -> portolan_core::Error {
    invalid(format!(
        "${{secret.{name}}} must be the whole value of an environment variable: elsewhere, everyone who can read the \
         Deployment could read the secret"
    ))
}

/// Returns the inside of a text that consists of one placeholder.
fn single_placeholder(text: &str) -> Option<&str> {
    let inner = text.strip_prefix("${")?.strip_suffix('}')?;
    (!inner.contains(['{', '}'])).then_some(inner)
}

fn is_variable(inner: &str) -> bool {
    inner.starts_with("env.") || inner.starts_with("secret.")
}
