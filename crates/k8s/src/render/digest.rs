//! The digest of the rendered objects.

use k8s_openapi::api::core::v1::Secret as SecretObject;
use portolan_core::{Error, Result, Secret};

use crate::name::{self, hex};

use super::{Rendered, deployment, secret};

/// Computes the digest of the objects and writes it on the Deployment.
///
/// Covers the serialized objects; of Secrets, the names, labels and contents. The hash is keyed if there is a Secret, so that
/// a reader of the Deployment cannot test guesses of a password against it.
pub(super) fn set_digest(rendered: &mut Rendered, token: &Secret) -> Result<()> {
    let key = if rendered.secret.is_some() {
        token.clone()
    } else {
        Secret::new("")
    };
    let mut context = secret::keyed(&key);
    let mut add = |part: &[u8]| {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    };
    add(&json(&rendered.deployment)?);
    add(&json(&rendered.service)?);
    add(&json(&rendered.policies)?);
    for secret in rendered.secret.iter().chain(&rendered.pull_secrets) {
        add(&json(&without_contents(secret))?);
        add(secret::digest(secret, &key).as_bytes());
    }
    rendered.digest = hex(context.sign().as_ref());
    let digest = rendered.digest.clone();
    deployment::annotations(&mut rendered.deployment.metadata).insert(name::DIGEST.into(), digest);
    Ok(())
}

fn without_contents(secret: &SecretObject) -> SecretObject {
    SecretObject {
        metadata: secret.metadata.clone(),
        type_: secret.type_.clone(),
        ..SecretObject::default()
    }
}

/// Serializes an object: fields in a fixed order, maps sorted.
fn json(value: &impl serde::Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|error| Error::backend("JSON", "write an object", error))
}
