//! The digest of a wish.

use k8s_openapi::api::core::v1::Secret as SecretObject;
use portolan_core::{Error, Result, Secret};

use crate::name::{self, hex};

use super::{Rendered, deployment, secret};

/// Digests the objects and writes the digest on the Deployment.
///
/// What the objects say is hashed as they say it; of Secrets, the names, labels and contents. The hash is keyed where there
/// is a Secret: a reader of the Deployment cannot try out passwords on it.
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

/// Objects are written with their fields in one order and their maps sorted.
fn json(value: &impl serde::Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|error| Error::Backend {
        backend: "JSON",
        action: "write an object".into(),
        source: Box::new(error),
    })
}
