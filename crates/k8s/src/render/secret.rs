//! The Secret of a deployment.

use std::collections::BTreeMap;

use aws_lc_rs::hmac;
use k8s_openapi::{ByteString, api::core::v1::Secret as SecretObject};
use portolan_core::{EnvValue, Error, ImagePullSecret, Result, Secret};

use crate::name::{hex, secret_env_key, secret_file_key};

use super::{BRIDGE_TOKEN, Carrier, render_plan::RenderPlan};

/// The size limit of Kubernetes for one Secret, in bytes.
const MAX_SIZE: usize = 1024 * 1024;

/// Builds the Secret: values of variables and files, and the bridge's token. `None` if there is nothing secret.
pub(super) fn secret(plan: &RenderPlan<'_>) -> Result<Option<SecretObject>> {
    let mut data = values(plan)?;
    let pulls = |pull: &ImagePullSecret| matches!(pull, ImagePullSecret::Credentials { .. });
    let pulls = plan.input.spec.kubernetes.image_pull_secrets.iter().any(pulls);
    if data.is_empty() && !pulls && plan.carrier != Carrier::Bridge {
        return Ok(None);
    }
    data.insert(BRIDGE_TOKEN.into(), bytes(plan.input.bridge_token));
    if data.iter().map(|(key, value)| key.len() + value.0.len()).sum::<usize>() > MAX_SIZE {
        return Err(Error::invalid(
            "secrets",
            "exceed 1 MiB in total, the limit of Kubernetes for one Secret; make them smaller",
        ));
    }
    Ok(Some(SecretObject {
        metadata: plan.meta(plan.secret_name()),
        data: Some(data),
        type_: Some("Opaque".into()),
        ..SecretObject::default()
    }))
}

/// Returns a digest of a Secret's contents, keyed with `token`.
pub(super) fn digest(secret: &SecretObject, token: &Secret) -> String {
    let mut context = keyed(token);
    for (key, ByteString(value)) in secret.data.iter().flatten() {
        for part in [key.as_bytes(), value] {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
    }
    hex(&context.sign().as_ref()[..16])
}

/// Starts an HMAC keyed with `token`.
pub(super) fn keyed(token: &Secret) -> hmac::Context {
    hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, token.reveal().as_bytes()))
}

fn values(plan: &RenderPlan<'_>) -> Result<BTreeMap<String, ByteString>> {
    let spec = plan.input.spec;
    let mut data = BTreeMap::new();
    for (name, value) in &spec.env {
        if let EnvValue::Secret(key) = value {
            let secret = plan.input.secret(key, &format!("{name:?}"))?;
            data.insert(secret_env_key(name), bytes(secret));
        }
    }
    for (name, value) in &spec.files {
        let value = match value {
            EnvValue::Plain(text) => ByteString(text.clone().into_bytes()),
            EnvValue::Secret(key) => bytes(plan.input.secret(key, &format!("{name:?}"))?),
        };
        data.insert(secret_file_key(name), value);
    }
    Ok(data)
}

fn bytes(secret: &Secret) -> ByteString {
    ByteString(secret.reveal().as_bytes().to_vec())
}
