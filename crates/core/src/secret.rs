//! Secret text: redacted, zeroed when dropped, with one way out.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};

/// A password, token or key.
///
/// `Debug` and `Display` show no part of it, it has no `Serialize`, and its memory is zeroed when it is dropped.
/// [`Secret::reveal`] is the only way out.
///
/// ```
/// let secret = portolan_core::Secret::new("hunter2");
/// assert_eq!(format!("{secret:?} {secret}"), "Secret(…) …");
/// assert_eq!(secret.reveal(), "hunter2");
/// ```
#[derive(Clone)]
pub struct Secret(SecretString);

impl Secret {
    /// Takes `text` in.
    pub fn new(text: impl Into<String>) -> Self {
        Self(SecretString::from(text.into()))
    }

    /// The text itself. Each caller of this is a place to review.
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
    /// Compares without telling by its time where the texts differ.
    fn eq(&self, other: &Self) -> bool {
        let (a, b) = (self.reveal().as_bytes(), other.reveal().as_bytes());
        a.len() == b.len() && a.iter().zip(b).fold(0, |seen, (x, y)| seen | (x ^ y)) == 0
    }
}

impl Eq for Secret {}
