//! Headers and tokens of the caller that a server is sent as they are.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{HeaderMap, HeaderName, header};
use portolan_core::{Caller, HeaderPassthrough, Secret, UpstreamCredential};
use serde_json::Value;

use super::json;

/// The headers of one connection (RFC 9110 7.6.1), and those that a message is framed by.
const HOP_BY_HOP: [&str; 11] = [
    "connection",
    "content-length",
    "content-type",
    "host",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "expect",
];

/// Adds the caller's headers that are on the list and that `credential` has not.
pub(super) fn headers(credential: &mut UpstreamCredential, passed: &HeaderPassthrough, from: &HeaderMap) {
    let named: Vec<String> = from
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|name| name.trim().to_ascii_lowercase())
        .collect();
    for name in &passed.names {
        let Ok(name) = HeaderName::try_from(name.as_str()) else {
            continue;
        };
        let text = name.as_str();
        let of_connection = HOP_BY_HOP.contains(&text)
            || text.starts_with("proxy-")
            || text.starts_with("mcp-")
            || named.iter().any(|named| named == text);
        let is_credential = name == header::AUTHORIZATION || name == header::COOKIE;
        if of_connection || (is_credential && !passed.allow_credentials) {
            continue;
        }
        if credential.headers.iter().any(|(known, _)| *known == name) {
            continue;
        }
        if let Some(value) = from.get(&name).and_then(|value| value.to_str().ok()) {
            credential.headers.push((name, Secret::new(value)));
        }
    }
}

/// Returns the caller's JWT if it was issued for `audience`. The authenticator has verified it; only its audience is
/// looked at here.
pub(super) fn jwt(caller: &Caller, audience: &str) -> Option<Secret> {
    let token = caller.token.as_ref()?;
    let mut parts = token.reveal().split('.');
    let (_, payload, _) = (parts.next()?, parts.next()?, parts.next()?);
    let claims = json::object(&URL_SAFE_NO_PAD.decode(payload).ok()?)?;
    let fits = match claims.get("aud")? {
        Value::String(one) => one == audience,
        Value::Array(many) => many.iter().any(|one| one.as_str() == Some(audience)),
        _ => false,
    };
    fits.then(|| token.clone())
}
