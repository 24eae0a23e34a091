//! Environment variables.

use k8s_openapi::api::core::v1::{
    ConfigMapEnvSource, EnvFromSource, EnvVar, EnvVarSource, SecretEnvSource, SecretKeySelector,
};
use portolan_core::{EnvFrom, EnvValue, Error, Result};

use super::{bridge, files, render_plan::RenderPlan};
use crate::{escape::escaped, name::secret_env_key};

/// Returns the variables of the server, sorted, with those that the platform adds.
pub(super) fn variables(plan: &RenderPlan<'_>) -> Result<Vec<EnvVar>> {
    let given = &plan.input.spec.env;
    let mut variables = Vec::with_capacity(given.len() + 2);
    for (name, value) in given {
        check_name(name)?;
        variables.push(match value {
            EnvValue::Plain(text) => plain(name, text),
            EnvValue::Secret(_) => from_secret(name, &plan.secret_name(), &secret_env_key(name)),
        });
    }
    if !given.contains_key("HOME") && files::is_root_read_only(plan) {
        variables.push(plain("HOME", files::TMP));
    }
    variables.extend(bridge::token(plan));
    Ok(variables)
}

/// Returns the ConfigMaps and Secrets that further variables come from.
pub(super) fn sources(plan: &RenderPlan<'_>) -> Result<Option<Vec<EnvFromSource>>> {
    let mut sources = Vec::new();
    for from in &plan.input.spec.kubernetes.env_from {
        sources.push(source(plan, from)?);
    }
    Ok(Some(sources).filter(|sources| !sources.is_empty()))
}

/// Returns a variable with the value under `key` in the Secret `secret`.
pub(super) fn from_secret(name: &str, secret: &str, key: &str) -> EnvVar {
    EnvVar {
        name: name.into(),
        value: None,
        value_from: Some(EnvVarSource {
            secret_key_ref: Some(SecretKeySelector {
                name: secret.into(),
                key: key.into(),
                optional: None,
            }),
            ..EnvVarSource::default()
        }),
    }
}

fn plain(name: &str, text: &str) -> EnvVar {
    EnvVar {
        name: name.into(),
        value: Some(escaped(text)),
        value_from: None,
    }
}

fn source(plan: &RenderPlan<'_>, from: &EnvFrom) -> Result<EnvFromSource> {
    match from {
        EnvFrom::Secret { name, prefix } => {
            plan.manifest_rules(None).check_secret("env_from", name)?;
            Ok(EnvFromSource {
                prefix: prefix.clone(),
                secret_ref: Some(SecretEnvSource {
                    name: name.clone(),
                    optional: None,
                }),
                ..EnvFromSource::default()
            })
        }
        EnvFrom::ConfigMap { name, prefix } => Ok(EnvFromSource {
            prefix: prefix.clone(),
            config_map_ref: Some(ConfigMapEnvSource {
                name: name.clone(),
                optional: None,
            }),
            ..EnvFromSource::default()
        }),
        _ => Err(Error::invalid(
            "env_from",
            "has a kind that this runtime does not support; use a Secret or a ConfigMap",
        )),
    }
}

fn check_name(name: &str) -> Result<()> {
    if name == bridge::TOKEN_VARIABLE {
        return Err(Error::invalid(name, "is reserved for the bridge; use another name"));
    }
    if name.is_empty() || !name.bytes().all(|b| matches!(b, b' '..=b'~') && b != b'=') {
        return Err(Error::invalid(
            "env",
            format!("{name:?} is not a variable name; use printable ASCII without '='"),
        ));
    }
    Ok(())
}
