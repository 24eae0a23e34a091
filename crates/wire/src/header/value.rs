//! Header values: plain if possible, else `=?base64?…?=` (SEP-2243).

use std::borrow::Cow;

use base64::{Engine, engine::general_purpose::STANDARD};
use http::HeaderValue;

const OPEN: &str = "=?base64?";
const CLOSE: &str = "?=";

/// Decodes a header value. Returns `None` if it is neither visible ASCII nor a valid sentinel.
pub fn decode(value: &HeaderValue) -> Option<Cow<'_, str>> {
    let text = value.to_str().ok()?.trim_matches([' ', '\t']);
    match sentinel(text) {
        None => Some(Cow::Borrowed(text)),
        Some(encoded) => {
            let bytes = STANDARD.decode(encoded).ok()?;
            String::from_utf8(bytes).ok().map(Cow::Owned)
        }
    }
}

/// Encodes a header value: as base64 if it is not visible ASCII, has outer spaces or looks like the sentinel itself.
pub fn encode(text: &str) -> HeaderValue {
    let plain = text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
        && !text.starts_with(' ')
        && !text.ends_with(' ')
        && sentinel(text).is_none();
    let value = if plain {
        HeaderValue::from_str(text)
    } else {
        HeaderValue::try_from(format!("{OPEN}{}{CLOSE}", STANDARD.encode(text)))
    };
    value.expect("visible ASCII makes a header value")
}

fn sentinel(text: &str) -> Option<&str> {
    text.strip_prefix(OPEN)?.strip_suffix(CLOSE)
}
