//! Reads JSON of providers that write `null` or `""` for what they do not have.

use serde_json::{Map, Value};
use url::Url;

/// The most elements that are read of an array.
const MAX_ELEMENTS: usize = 128;

/// Returns the text under `name`; `None` if it is missing, empty or no text.
pub(crate) fn text(object: &Map<String, Value>, name: &str) -> Option<String> {
    match object.get(name)? {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        _ => None,
    }
}

/// Returns the URL under `name`; `None` if it is missing, empty or no URL.
pub(crate) fn url(object: &Map<String, Value>, name: &str) -> Option<Url> {
    Url::parse(&text(object, name)?).ok()
}

/// Returns the texts under `name`: `None` if there is no array.
pub(crate) fn texts(object: &Map<String, Value>, name: &str) -> Option<Vec<String>> {
    let Value::Array(elements) = object.get(name)? else {
        return None;
    };
    let texts = elements.iter().take(MAX_ELEMENTS).filter_map(Value::as_str);
    Some(texts.filter(|text| !text.is_empty()).map(str::to_owned).collect())
}

/// Returns `true` if there is a `true` under `name`.
pub(crate) fn flag(object: &Map<String, Value>, name: &str) -> bool {
    object.get(name) == Some(&Value::Bool(true))
}

/// Parses an object.
pub(crate) fn object(body: &[u8]) -> Option<Map<String, Value>> {
    serde_json::from_slice(body).ok()
}
