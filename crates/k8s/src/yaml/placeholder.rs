//! Placeholders in a Deployment YAML.

use std::collections::BTreeMap;

use portolan_core::{EnvValue, Result, Source};
use serde_json::{Value, json};

use crate::{
    name::{self, DeploymentKey},
    render::{RenderInput, env_key, escaped},
};

use super::refused;

/// What placeholders stand for.
#[derive(Debug)]
pub(super) struct PlaceholderValues<'a> {
    env: &'a BTreeMap<String, EnvValue>,
    secret_name: String,
    /// By what comes after `portolan.`.
    own: BTreeMap<&'static str, String>,
    arguments: &'a [String],
}

/// What one placeholder stands for.
enum Resolved<'a> {
    Text(&'a str),
    Arguments,
    Secret(&'a str),
    /// Nothing, as this says.
    Nothing(String),
}

impl<'a> PlaceholderValues<'a> {
    pub(super) fn of(input: &RenderInput<'a>) -> Result<Self> {
        let spec = input.spec;
        let (image, program, arguments) = match &spec.source {
            Source::Command { program, args, .. } => (&input.config.base_image, Some(program), args),
            Source::Image {
                image, program, args, ..
            } => (image, program.as_ref(), args),
            _ => return Err(refused("is of no use to a remote server")),
        };
        let deployment = DeploymentKey::of(input.name, spec).deployment_name(&spec.server);
        let account = spec.kubernetes.service_account.as_deref().unwrap_or("default");
        let secret_name = name::secret(&deployment);
        let own = [
            ("deployment_name", deployment),
            ("server_id", input.name.to_string()),
            ("server_name", spec.server.to_string()),
            ("namespace", input.environment.namespace.clone()),
            ("docker_image", image.clone()),
            ("secret_name", secret_name.clone()),
            ("command", program.cloned().unwrap_or_default()),
            ("arguments", json!(arguments).to_string()),
            ("service_account", account.to_owned()),
        ];
        Ok(Self {
            env: &spec.env,
            secret_name,
            own: own.into(),
            arguments,
        })
    }

    /// Fills in every placeholder below `value`. Those that stand for nothing are told in `warnings`.
    pub(super) fn fill(&self, value: &mut Value, warnings: &mut Vec<String>) -> Result<()> {
        self.fill_in(value, false, warnings)
    }

    /// `expands` says that Kubernetes looks for its own `$(NAME)` here.
    fn fill_in(&self, value: &mut Value, expands: bool, warnings: &mut Vec<String>) -> Result<()> {
        match value {
            Value::String(text) => {
                if text == "${portolan.arguments}" {
                    *value = self.arguments.iter().map(|text| escaped(text)).collect();
                } else {
                    *text = self.text(text, expands, warnings)?;
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
                        self.variables(variables, warnings);
                    }
                    let expands = expands || matches!(key.as_str(), "env" | "command" | "args");
                    self.fill_in(field, expands, warnings)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Fills in variables whose whole value is one placeholder: a secret becomes a reference, and a variable that has no
    /// value is left out.
    fn variables(&self, variables: &mut Vec<Value>, warnings: &mut Vec<String>) {
        let mut kept = Vec::with_capacity(variables.len());
        for mut variable in variables.drain(..) {
            let whole = variable
                .get("value")
                .and_then(Value::as_str)
                .and_then(whole)
                .map(str::to_owned);
            match whole.as_deref().map(|inner| (self.find(inner), is_variable(inner))) {
                Some((Resolved::Secret(name), _)) => {
                    let reference = json!({ "secretKeyRef": { "name": self.secret_name, "key": env_key(name) } });
                    if let Some(fields) = variable.as_object_mut() {
                        fields.remove("value");
                        fields.insert("valueFrom".into(), reference);
                    }
                    kept.push(variable);
                }
                Some((Resolved::Nothing(why), true)) => warnings.push(why),
                _ => kept.push(variable),
            }
        }
        *variables = kept;
    }

    /// `text` with its placeholders filled in.
    fn text(&self, text: &str, expands: bool, warnings: &mut Vec<String>) -> Result<String> {
        let mut filled = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${") {
            filled.push_str(before);
            let Some((inner, after)) = after.split_once('}') else {
                warnings.push(format!("\"${{{after}\" has no closing brace and stays as it is"));
                filled.push_str("${");
                rest = after;
                continue;
            };
            match self.find(inner) {
                Resolved::Text(value) if expands => filled.push_str(&escaped(value)),
                Resolved::Text(value) => filled.push_str(value),
                Resolved::Arguments => filled.push_str(&escaped(&json!(self.arguments).to_string())),
                Resolved::Secret(name) => return Err(misplaced(name)),
                Resolved::Nothing(why) => {
                    warnings.push(why);
                    filled.push_str(&format!("${{{inner}}}"));
                }
            }
            rest = after;
        }
        filled.push_str(rest);
        Ok(filled)
    }

    fn find<'f>(&'f self, inner: &'f str) -> Resolved<'f> {
        let nothing = |why: &str| Resolved::Nothing(format!("${{{inner}}} {why}"));
        match inner.split_once('.') {
            Some(("portolan", "arguments")) => Resolved::Arguments,
            Some(("portolan", key)) => match self.own.get(key) {
                Some(text) => Resolved::Text(text),
                None => nothing("is no placeholder that Portolan knows"),
            },
            Some(("env", name)) => match self.env.get(name) {
                Some(EnvValue::Plain(text)) => Resolved::Text(text),
                Some(EnvValue::Secret(_)) => Resolved::Secret(name),
                None => nothing("stands for a variable that has no value"),
            },
            Some(("secret", name)) => match self.env.get(name) {
                Some(EnvValue::Secret(_)) => Resolved::Secret(name),
                Some(EnvValue::Plain(_)) => nothing("is no secret; write it with env."),
                None => nothing("stands for a secret that has no value"),
            },
            _ => nothing("is no placeholder and stays as it is"),
        }
    }
}

fn misplaced(name: &str) -> portolan_core::Error {
    refused(format!(
        "${{secret.{name}}} may be nothing but the whole value of an environment variable: everybody who sees the \
         Deployment can read what stands elsewhere"
    ))
}

/// The inside of a text that is nothing but a placeholder.
fn whole(text: &str) -> Option<&str> {
    let inner = text.strip_prefix("${")?.strip_suffix('}')?;
    (!inner.contains(['{', '}'])).then_some(inner)
}

fn is_variable(inner: &str) -> bool {
    inner.starts_with("env.") || inner.starts_with("secret.")
}
