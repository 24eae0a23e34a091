//! Names, which are checked when they are created and never again.

use std::{borrow::Borrow, fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{Error, Result};

/// Checks a slug: 1 to `max` characters of `a-z 0-9 -`, beginning and ending with a letter or digit, without `--`.
fn check_slug(field: &'static str, text: &str, max: usize) -> Result<()> {
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    let fits = text.len() <= max
        && text
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
        && edge(text.chars().next())
        && edge(text.chars().last())
        && !text.contains("--");
    if fits {
        return Ok(());
    }
    Err(Error::invalid(
        field,
        format!(
            "{:?} does not fit: use 1 to {max} of a-z, 0-9 and single '-' between them",
            shorten(text)
        ),
    ))
}

/// Checks text from an identity provider or a server: 1 to `max` bytes without control characters.
fn check_foreign(field: &'static str, text: &str, max: usize) -> Result<()> {
    if !text.is_empty() && text.len() <= max && !text.chars().any(char::is_control) {
        return Ok(());
    }
    Err(Error::invalid(
        field,
        format!(
            "{:?} does not fit: use 1 to {max} bytes without control characters",
            shorten(text)
        ),
    ))
}

/// Checks a scope token (RFC 6749 3.3): 1 to `max` printable ASCII characters without space, `"` and `\`.
fn check_scope(field: &'static str, text: &str, max: usize) -> Result<()> {
    let fits = |byte: u8| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\';
    if !text.is_empty() && text.len() <= max && text.bytes().all(fits) {
        return Ok(());
    }
    Err(Error::invalid(
        field,
        format!(
            "{:?} does not fit: use 1 to {max} printable ASCII characters without space, '\"' and '\\'",
            shorten(text)
        ),
    ))
}

fn shorten(text: &str) -> String {
    let mut short: String = text.chars().take(40).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $field:literal, $max:literal, $check:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Box<str>);

        impl $name {
            /// The most bytes of this name.
            pub const MAX_LEN: usize = $max;

            /// Parses a name.
            ///
            /// ```
            #[doc = concat!("use portolan_core::", stringify!($name), ";")]
            ///
            #[doc = concat!("assert_eq!(", stringify!($name), "::parse(\"example\")?.as_str(), \"example\");")]
            #[doc = concat!("assert!(", stringify!($name), "::parse(\"\").is_err());")]
            /// # Ok::<(), portolan_core::Error>(())
            /// ```
            ///
            /// # Errors
            ///
            /// [`Error::Invalid`](crate::Error::Invalid), which says what is valid.
            pub fn parse(text: impl AsRef<str>) -> Result<Self> {
                let text = text.as_ref();
                $check($field, text, $max)?;
                Ok(Self(text.into()))
            }

            /// Returns the name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = Error;
            fn from_str(text: &str) -> Result<Self> {
                Self::parse(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = Error;
            fn try_from(text: String) -> Result<Self> {
                Self::parse(text)
            }
        }

        impl TryFrom<&str> for $name {
            type Error = Error;
            fn try_from(text: &str) -> Result<Self> {
                Self::parse(text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0.into()
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

name! {
    /// The name of a server in the catalogue; also the prefix of its tools. A slug of at most 40 characters.
    ServerName, "server name", 40, check_slug
}
name! {
    /// The name of a gateway; also the last part of its path. A slug of at most 63 characters.
    GatewayName, "gateway name", 63, check_slug
}
name! {
    /// The name of a person, as the host or its identity provider gives it. At most 256 bytes.
    UserId, "user id", 256, check_foreign
}
name! {
    /// The name of a team, as the host or its identity provider gives it. At most 256 bytes.
    TeamId, "team id", 256, check_foreign
}
name! {
    /// The name of a tool, as its server gives it. At most 256 bytes: more than the 128 that the specification recommends
    /// (2026-07-28, server/tools), because some servers exceed them.
    ToolName, "tool name", 256, check_foreign
}
name! {
    /// An OAuth scope (RFC 6749 3.3), such as `mcp:tools`. At most 256 printable ASCII characters without space, `"` and
    /// `\`, so that it can be part of a `WWW-Authenticate` header.
    Scope, "scope", 256, check_scope
}
name! {
    /// The name of a role, as the host or its identity provider gives it. At most 256 bytes.
    Role, "role", 256, check_foreign
}
name! {
    /// The key of a field of a server. At most 64 bytes.
    FieldKey, "field key", 64, check_foreign
}

/// The name of an install: unique, never used again, stable through restarts.
///
/// It is a UUID (version 7, RFC 9562), so that names sort by age and show nothing of their owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct InstallName(Uuid);

impl InstallName {
    /// Creates a new name at the time of `clock`.
    ///
    /// ```
    /// use portolan_core::{InstallName, SystemClock};
    ///
    /// assert_ne!(InstallName::new(&SystemClock), InstallName::new(&SystemClock));
    /// ```
    pub fn new(clock: &dyn crate::Clock) -> Self {
        let now = clock.now();
        let seconds = u64::try_from(now.as_second()).unwrap_or(0);
        let nanos = u32::try_from(now.subsec_nanosecond()).unwrap_or(0);
        let time = uuid::Timestamp::from_unix(uuid::NoContext, seconds, nanos);
        Self(Uuid::new_v7(time))
    }

    /// Parses the text that `Display` gives.
    ///
    /// ```
    /// let name = portolan_core::InstallName::parse("01890a5d-ac96-774b-bcce-b302099a8057")?;
    /// assert_eq!(name.to_string(), "01890a5d-ac96-774b-bcce-b302099a8057");
    /// # Ok::<(), portolan_core::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] if `text` is no UUID.
    pub fn parse(text: &str) -> Result<Self> {
        Uuid::parse_str(text)
            .map(Self)
            .map_err(|_| Error::invalid("install name", format!("{:?} is not a UUID", shorten(text))))
    }

    /// Returns the UUID.
    pub fn as_uuid(&self) -> Uuid {
        self.0
    }
}

impl From<Uuid> for InstallName {
    fn from(uuid: Uuid) -> Self {
        Self(uuid)
    }
}

impl fmt::Display for InstallName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slugs_are_checked() {
        for good in ["a", "everything", "a-b-9", &"x".repeat(40)] {
            assert!(ServerName::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", "a-", "a--b", "A", "a_b", "ä", "a b", &"x".repeat(41)] {
            assert!(ServerName::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn control_characters_are_refused() {
        assert!(UserId::parse("a\nb").is_err());
        assert!(UserId::parse("alice@example.com").is_ok());
    }

    #[test]
    fn stored_name_is_checked() {
        assert!(serde_json::from_str::<ServerName>("\"Not A Slug\"").is_err());
    }
}
