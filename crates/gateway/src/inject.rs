//! Puts secrets on outgoing requests: the one place of this crate where they are revealed.

use http::{HeaderMap, HeaderValue, header};
use portolan_core::{Secret, UpstreamCredential};

/// Adds what the runtime and the credential say. They win over everything else that was set.
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

fn sensitive(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::try_from(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}
