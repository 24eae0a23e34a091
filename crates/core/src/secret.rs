//! Secret text.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};

/// A password, token or key as text.
///
/// `Debug` and `Display` show no part of it, it has no `Serialize`, and its memory is zeroed when it is dropped.
/// [`Secret::reveal`] is the only way to the text. Comparing takes the same time wherever two texts of one length differ.
///
/// ```
/// let secret = portolan_core::Secret::new("hunter2");
/// assert_eq!(format!("{secret:?} {secret}"), "Secret(…) …");
/// assert_eq!(secret.reveal(), "hunter2");
/// ```
#[derive(Clone)]
pub struct Secret(SecretString);

impl Secret {
    /// Wraps `text`.
    ///
    /// ```
    /// assert_eq!(portolan_core::Secret::new("hunter2").reveal(), "hunter2");
    /// ```
    pub fn new(text: impl Into<String>) -> Self {
        Self(SecretString::from(text.into()))
    }

    /// Returns the text. Review each call of this.
    pub fn reveal(&self) -> &str {
        self.0.expose_secret()
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

impl PartialEq for Secret {
    /// Compares in constant time for texts of one length.
    fn eq(&self, other: &Self) -> bool {
        let (a, b) = (self.reveal().as_bytes(), other.reveal().as_bytes());
        a.len() == b.len() && a.iter().zip(b).fold(0, |seen, (x, y)| seen | (x ^ y)) == 0
    }
}

impl Eq for Secret {}
