//! The limits of definitions.

use portolan_wire::object::{self, RawObject};
use serde_json::value::RawValue;

use crate::config::ClientLimits;

/// Returns a name in a definition: text without control characters.
pub(super) fn name_in(members: &RawObject, key: &str, most: usize) -> Option<Box<str>> {
    let text = members.get(key).and_then(object::text)?;
    (!text.is_empty() && text.len() <= most && !text.chars().any(char::is_control)).then(|| (*text).into())
}

/// Checks a definition against the limits.
pub(super) fn check(definition: &RawValue, limits: &ClientLimits) -> Result<(), &'static str> {
    if definition.get().len() > limits.definition_bytes {
        return Err("it is larger than ClientLimits::definition_bytes");
    }
    if depth(definition.get()) > limits.schema_depth {
        return Err("it is nested deeper than ClientLimits::schema_depth");
    }
    Ok(())
}

/// Returns the nesting depth of a JSON text.
fn depth(text: &str) -> usize {
    let (mut deepest, mut depth) = (0_usize, 0_usize);
    let (mut quoted, mut escaped) = (false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'{' | b'[' if !quoted => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' if !quoted => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}
