//! Image pull secrets.

use std::collections::BTreeMap;

use aws_lc_rs::digest;
use base64::{Engine, engine::general_purpose::STANDARD};
use k8s_openapi::{ByteString, api::core::v1::Secret as SecretObject, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use portolan_core::{CredentialKey, Error, ImagePullSecret, Owner, Result};
use serde_json::json;

use crate::name::{self, DeploymentKey, hex};

use super::render_plan::RenderPlan;

/// The key of the registry configuration in the Secret.
const CONFIG_KEY: &str = ".dockerconfigjson";

/// Returns the names of the pull secrets, in the order of the spec.
pub(super) fn names(plan: &RenderPlan<'_>) -> Vec<String> {
    let mut names = Vec::new();
    for pull in &plan.input.spec.kubernetes.image_pull_secrets {
        let name = match pull {
            ImagePullSecret::Existing { name } => name.clone(),
            ImagePullSecret::Credentials {
                registry,
                username,
                password,
            } => account_name(plan, registry, username, password),
            _ => continue,
        };
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// Builds the Secrets of registry accounts. Servers of one owner with the same account share one.
pub(super) fn secrets(plan: &RenderPlan<'_>) -> Result<Vec<SecretObject>> {
    let mut secrets: BTreeMap<String, SecretObject> = BTreeMap::new();
    for pull in &plan.input.spec.kubernetes.image_pull_secrets {
        let ImagePullSecret::Credentials {
            registry,
            username,
            password,
        } = pull
        else {
            continue;
        };
        if registry.trim().is_empty() || username.is_empty() || username.contains(':') {
            return Err(Error::invalid(
                "image pull secret",
                "needs a registry host and a user name without ':'",
            ));
        }
        let name = account_name(plan, registry, username, password);
        let key = plan.input.secret(password, &format!("the registry {registry:?}"))?;
        let auth = STANDARD.encode(format!("{username}:{}", key.reveal()));
        let entry = json!({ "username": username, "password": key.reveal(), "auth": auth });
        let config = json!({ "auths": { registry.as_str(): entry } });
        secrets.insert(name.clone(), secret(plan, name, config.to_string()));
    }
    Ok(secrets.into_values().collect())
}

fn secret(plan: &RenderPlan<'_>, name: String, config: String) -> SecretObject {
    let mut labels = name::owner_labels(owner(plan));
    labels.insert(name::MANAGED_BY.into(), plan.input.config.field_manager.clone());
    labels.insert(name::KIND.into(), "pull-secret".into());
    SecretObject {
        metadata: ObjectMeta {
            name: Some(name),
            namespace: Some(plan.input.environment.namespace.clone()),
            labels: Some(labels),
            ..ObjectMeta::default()
        },
        type_: Some("kubernetes.io/dockerconfigjson".into()),
        data: Some([(CONFIG_KEY.to_owned(), ByteString(config.into_bytes()))].into()),
        ..SecretObject::default()
    }
}

/// Returns the owner of the account: the organisation if all installs share the server.
fn owner<'p>(plan: &RenderPlan<'p>) -> &'p Owner {
    match plan.key {
        DeploymentKey::Shared(_) => &Owner::Org,
        DeploymentKey::Install(_) => &plan.input.spec.owner,
    }
}

/// Returns `mcp-pull-<registry>-<user>-<digest>`; the digest covers account, owner and field manager.
fn account_name(plan: &RenderPlan<'_>, registry: &str, username: &str, password: &CredentialKey) -> String {
    let mut context = digest::Context::new(&digest::SHA256);
    let manager = &plan.input.config.field_manager;
    for part in [manager, registry, username, password.as_str(), &owner(plan).to_string()] {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part.as_bytes());
    }
    let digest = hex(&context.finish().as_ref()[..5]);
    format!("mcp-pull-{}-{}-{digest}", slug(registry, 40), slug(username, 20))
}

fn slug(text: &str, most: usize) -> String {
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() {
            c.to_ascii_lowercase()
        } else {
            '-'
        }
    };
    let slug: String = text.chars().map(plain).take(most).collect();
    slug.trim_matches('-').to_owned()
}
