//! The claims of a caller's token.

use std::fmt;

use serde_json::{Map, Value};

use crate::{Error, Result};

/// The claims of a verified token: a JSON object, at most 64 members and 16 KiB of text.
///
/// `Debug` shows the names and no values, because claims carry personal data.
///
/// ```
/// use portolan_core::Claims;
/// use serde_json::json;
///
/// let claims = Claims::try_from(json!({"email": "alice@example.com", "groups": ["web"]}))?;
/// assert_eq!(claims.text("email"), Some("alice@example.com"));
/// assert_eq!(format!("{claims:?}"), r#"{"email", "groups"}"#);
/// # Ok::<(), portolan_core::Error>(())
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Claims(Map<String, Value>);

impl Claims {
    /// The most members.
    pub const MAX_MEMBERS: usize = 64;
    /// The most bytes of the claims as JSON text.
    pub const MAX_BYTES: usize = 16 * 1024;

    /// Checks the size of `members` and wraps them.
    ///
    /// ```
    /// use portolan_core::Claims;
    ///
    /// let claims = Claims::new(serde_json::Map::new())?;
    /// assert!(claims.is_empty());
    /// # Ok::<(), portolan_core::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] for more than [`Claims::MAX_MEMBERS`] members or more than [`Claims::MAX_BYTES`] of text.
    pub fn new(members: Map<String, Value>) -> Result<Self> {
        if members.len() > Self::MAX_MEMBERS {
            return Err(Error::invalid(
                "claims",
                format!("has {} members; at most {} are kept", members.len(), Self::MAX_MEMBERS),
            ));
        }
        let size = serde_json::to_string(&members).map_or(usize::MAX, |text| text.len());
        if size > Self::MAX_BYTES {
            return Err(Error::invalid(
                "claims",
                format!("has {size} bytes; at most {} are kept", Self::MAX_BYTES),
            ));
        }
        Ok(Self(members))
    }

    /// Returns the claim `name`.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// Returns the claim `name` if it is a string.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.get(name)?.as_str()
    }

    /// Iterates over names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// Returns `true` if there are no claims.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl TryFrom<Value> for Claims {
    type Error = Error;

    fn try_from(value: Value) -> Result<Self> {
        match value {
            Value::Object(members) => Self::new(members),
            _ => Err(Error::invalid("claims", "needs a JSON object")),
        }
    }
}

impl fmt::Debug for Claims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn claims_are_bounded() {
        let many = |count: usize| Claims::new((0..count).map(|n| (n.to_string(), Value::Null)).collect());
        assert!(many(Claims::MAX_MEMBERS).is_ok() && many(Claims::MAX_MEMBERS + 1).is_err());
        let long = |size: usize| Claims::try_from(json!({ "a": "x".repeat(size) }));
        assert!(long(Claims::MAX_BYTES - 8).is_ok() && long(Claims::MAX_BYTES - 7).is_err());
        assert!(Claims::try_from(json!([])).is_err());
    }
}
