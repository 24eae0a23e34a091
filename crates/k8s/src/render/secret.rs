//! The Secret of a deployment.

use std::collections::BTreeMap;

use aws_lc_rs::hmac;
use k8s_openapi::{ByteString, api::core::v1::Secret as SecretObject};
use portolan_core::{EnvValue, Error, ImagePullSecret, Result, Secret};

use crate::name::hex;

use super::{BRIDGE_TOKEN, Carrier, render_plan::RenderPlan};

/// The most that Kubernetes keeps in one.
const MOST: usize = 1024 * 1024;

/// The Secret: values of variables and files, and the bridge's token. `None` where there is nothing to keep.
pub(super) fn secret(plan: &RenderPlan<'_>) -> Result<Option<SecretObject>> {
    let mut data = values(plan)?;
    let pulls = |pull: &ImagePullSecret| matches!(pull, ImagePullSecret::Credentials { .. });
    let pulls = plan.input.spec.kubernetes.image_pull_secrets.iter().any(pulls);
    if data.is_empty() && !pulls && plan.carrier != Carrier::Bridge {
        return Ok(None);
    }
    data.insert(BRIDGE_TOKEN.into(), bytes(plan.input.bridge_token));
    if data.iter().map(|(key, value)| key.len() + value.0.len()).sum::<usize>() > MOST {
        return Err(Error::invalid(
            "secrets",
            "are more than 1 MiB together, which is more than Kubernetes keeps for one server",
        ));
    }
    Ok(Some(SecretObject {
        metadata: plan.meta(plan.secret_name()),
        data: Some(data),
        type_: Some("Opaque".into()),
        ..SecretObject::default()
    }))
}

/// The key of a variable's value. A plain name is its own key, so that a Deployment YAML can name it; no other key of
/// ours is a plain name.
pub(crate) fn env_key(name: &str) -> String {
    let is_plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if is_plain {
        name.to_owned()
    } else {
        format!("env.{}", key(name))
    }
}

/// The key of a file's contents.
pub(super) fn file_key(name: &str) -> String {
    format!("file.{}", key(name))
}

/// A digest of a Secret's contents that tells nothing to who does not know `token`.
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

/// A hash that only who knows `token` can make.
pub(super) fn keyed(token: &Secret) -> hmac::Context {
    hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, token.reveal().as_bytes()))
}

fn values(plan: &RenderPlan<'_>) -> Result<BTreeMap<String, ByteString>> {
    let spec = plan.input.spec;
    let mut data = BTreeMap::new();
    for (name, value) in &spec.env {
        if let EnvValue::Secret(key) = value {
            let secret = plan.input.secret(key, &format!("{name:?}"))?;
            data.insert(env_key(name), bytes(secret));
        }
    }
    for (name, value) in &spec.files {
        let value = match value {
            EnvValue::Plain(text) => ByteString(text.clone().into_bytes()),
            EnvValue::Secret(key) => bytes(plan.input.secret(key, &format!("{name:?}"))?),
        };
        data.insert(file_key(name), value);
    }
    Ok(data)
}

fn bytes(secret: &Secret) -> ByteString {
    ByteString(secret.reveal().as_bytes().to_vec())
}

/// Keys of a Secret may hold `A-Z a-z 0-9 - _ .` only; in ours, other bytes and the dot are written as `.XX`.
fn key(name: &str) -> String {
    name.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-') {
            out.push(char::from(byte));
        } else {
            out.push('.');
            out.push_str(&hex(&[byte]));
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_values_share_a_key() {
        let env = ["A", "A.B", "A-B", "env.A", "file.A", "bridge-token", "A.2eB", "ä"].map(env_key);
        let files = ["A", "A.B", "A-B", "bridge-token", "A.2eB", "ä"].map(file_key);
        let all: std::collections::BTreeSet<_> =
            env.iter().chain(&files).cloned().chain([BRIDGE_TOKEN.into()]).collect();
        assert_eq!(all.len(), env.len() + files.len() + 1, "{all:?}");
        let fits = |key: &String| {
            key.bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
        };
        assert!(all.iter().all(fits), "{all:?}");
    }
}
