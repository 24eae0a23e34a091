//! Puts secrets on outgoing requests: the one place of this crate where they are revealed.

use aws_lc_rs::digest;
use http::{HeaderMap, HeaderValue, header};
use portolan_core::{Secret, UpstreamCredential};

/// Adds the token of the runtime and the headers of the credential. They replace all other values.
pub(crate) fn credential(headers: &mut HeaderMap, token: Option<&Secret>, credential: &UpstreamCredential) {
    if let Some(token) = token
        && let Some(value) = sensitive(&format!("Bearer {}", token.reveal()))
    {
        headers.insert(header::AUTHORIZATION, value);
    }
    for (name, secret) in &credential.headers {
        if let Some(value) = sensitive(secret.reveal()) {
            headers.insert(name.clone(), value);
        }
    }
}

/// Returns the SHA-256 of the headers of a credential: tells credentials apart without keeping them.
pub(crate) fn fingerprint(credential: &UpstreamCredential) -> [u8; 32] {
    let mut hash = digest::Context::new(&digest::SHA256);
    for (name, value) in &credential.headers {
        let value = value.reveal().as_bytes();
        hash.update(name.as_str().as_bytes());
        hash.update(&(value.len() as u64).to_be_bytes());
        hash.update(value);
    }
    let mut fingerprint = [0; 32];
    fingerprint.copy_from_slice(hash.finish().as_ref());
    fingerprint
}

fn sensitive(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::try_from(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}
