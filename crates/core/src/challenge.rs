//! Challenges: the value of a `WWW-Authenticate` header.

use std::{borrow::Cow, fmt, fmt::Write};

use http::HeaderValue;
use url::Url;

use crate::{AuthError, Error, Result, Scope};

/// The most characters of a parameter's text; longer text is cut.
const MAX_TEXT: usize = 512;

/// One challenge of a `WWW-Authenticate` header (RFC 9110 11.6.1) with the parameters of bearer tokens (RFC 6750 3) and
/// of protected resources (RFC 9728 5.1).
///
/// Any text may be set: rendering escapes quotes, replaces characters that a header may not have, and cuts text after 512
/// characters, so that no parameter can add another one or end the header.
///
/// ```
/// use portolan_core::{AuthError, Challenge, Scope};
///
/// let challenge = Challenge::bearer()
///     .with_realm("default")
///     .with_resource_metadata("https://mcp.example.com/.well-known/oauth-protected-resource".parse().expect("a URL"));
/// assert_eq!(
///     challenge.to_string(),
///     "Bearer realm=\"default\", \
///      resource_metadata=\"https://mcp.example.com/.well-known/oauth-protected-resource\"",
/// );
/// let refused = Challenge::bearer().for_error(&AuthError::InsufficientScope { scopes: vec![Scope::parse("write")?] });
/// assert_eq!(
///     refused.to_string(),
///     "Bearer scope=\"write\", error=\"insufficient_scope\", error_description=\"the token lacks a scope\"",
/// );
/// # Ok::<(), portolan_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Challenge {
    scheme: Cow<'static, str>,
    /// The protection space, such as the name of the gateway.
    pub realm: Option<String>,
    /// The scopes that the request needs.
    pub scopes: Vec<Scope>,
    /// The URL of the protected resource's metadata (RFC 9728 5.1), from which a client learns where to get a token.
    pub resource_metadata: Option<Url>,
    /// The error code (RFC 6750 3.1), such as `invalid_token`. A request without a credential gets none.
    pub error: Option<Cow<'static, str>>,
    /// The error as a sentence for developers.
    pub error_description: Option<String>,
}

impl Challenge {
    /// Creates a challenge of the scheme `Bearer` without parameters.
    ///
    /// ```
    /// assert_eq!(portolan_core::Challenge::bearer().to_string(), "Bearer");
    /// ```
    pub fn bearer() -> Self {
        Self::of(Cow::Borrowed("Bearer"))
    }

    /// Creates a challenge of another scheme without parameters.
    ///
    /// ```
    /// use portolan_core::Challenge;
    ///
    /// assert_eq!(Challenge::new("DPoP")?.to_string(), "DPoP");
    /// assert!(Challenge::new("DPoP x").is_err());
    /// # Ok::<(), portolan_core::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] if `scheme` is no token (RFC 9110 5.6.2) of at most 64 characters.
    pub fn new(scheme: impl Into<Cow<'static, str>>) -> Result<Self> {
        let scheme = scheme.into();
        let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if scheme.is_empty() || scheme.len() > 64 || !scheme.bytes().all(is_token) {
            return Err(Error::invalid(
                "authentication scheme",
                "needs 1 to 64 letters, digits and signs of a header token",
            ));
        }
        Ok(Self::of(scheme))
    }

    fn of(scheme: Cow<'static, str>) -> Self {
        Self {
            scheme,
            realm: None,
            scopes: Vec::new(),
            resource_metadata: None,
            error: None,
            error_description: None,
        }
    }

    /// Returns the scheme.
    pub fn scheme(&self) -> &str {
        &self.scheme
    }

    /// Sets the realm.
    #[must_use]
    pub fn with_realm(mut self, realm: impl Into<String>) -> Self {
        self.realm = Some(realm.into());
        self
    }

    /// Sets the scopes that the request needs.
    #[must_use]
    pub fn with_scopes(mut self, scopes: impl IntoIterator<Item = Scope>) -> Self {
        self.scopes = scopes.into_iter().collect();
        self
    }

    /// Sets the URL of the protected resource's metadata.
    #[must_use]
    pub fn with_resource_metadata(mut self, url: Url) -> Self {
        self.resource_metadata = Some(url);
        self
    }

    /// Sets the error code and its description.
    #[must_use]
    pub fn with_error(mut self, code: impl Into<Cow<'static, str>>, description: impl Into<String>) -> Self {
        self.error = Some(code.into());
        self.error_description = Some(description.into());
        self
    }

    /// Adds what a client is told of `error`: the code, the description, and the scopes of
    /// [`AuthError::InsufficientScope`].
    #[must_use]
    pub fn for_error(mut self, error: &AuthError) -> Self {
        if let AuthError::InsufficientScope { scopes } = error {
            self.scopes.clone_from(scopes);
        }
        match error.code() {
            Some(code) => self.with_error(code, error.to_string()),
            None => self,
        }
    }

    /// Renders the challenge as a header value.
    ///
    /// ```
    /// let challenge = portolan_core::Challenge::bearer().with_realm("a \"b\"\r\nset-cookie: c");
    /// assert_eq!(challenge.header_value(), "Bearer realm=\"a \\\"b\\\"??set-cookie: c\"");
    /// ```
    pub fn header_value(&self) -> HeaderValue {
        // Rendering yields printable ASCII only, so this cannot fail.
        HeaderValue::try_from(self.to_string()).unwrap_or_else(|_| HeaderValue::from_static("Bearer"))
    }
}

impl fmt::Display for Challenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.scheme)?;
        let mut separator = " ";
        let mut parameter = |name: &str, text: &str, plain: bool| {
            write!(f, "{separator}{name}=\"")?;
            separator = ", ";
            quoted(f, text, plain)?;
            f.write_char('"')
        };
        if let Some(realm) = &self.realm {
            parameter("realm", realm, false)?;
        }
        if !self.scopes.is_empty() {
            let scopes: Vec<_> = self.scopes.iter().map(Scope::as_str).collect();
            parameter("scope", &scopes.join(" "), true)?;
        }
        if let Some(url) = &self.resource_metadata {
            parameter("resource_metadata", url.as_str(), false)?;
        }
        if let Some(error) = &self.error {
            parameter("error", error, true)?;
        }
        if let Some(description) = &self.error_description {
            parameter("error_description", description, true)?;
        }
        Ok(())
    }
}

/// Writes the inside of a quoted-string (RFC 9110 5.6.4). The parameters of RFC 6750 3 are `plain`: they may have neither
/// `"` nor `\`, not even escaped.
fn quoted(f: &mut fmt::Formatter<'_>, text: &str, plain: bool) -> fmt::Result {
    for character in text.chars().take(MAX_TEXT) {
        match character {
            '"' | '\\' if plain => f.write_char('\'')?,
            '"' | '\\' => write!(f, "\\{character}")?,
            ' '..='~' => f.write_char(character)?,
            _ => f.write_char('?')?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_are_escaped() {
        let challenge = Challenge::bearer().with_realm(r#"a", error="x\"#);
        assert_eq!(challenge.to_string(), r#"Bearer realm="a\", error=\"x\\""#);
    }

    #[test]
    fn error_text_has_no_quotes() {
        let challenge = Challenge::bearer().with_error("invalid_token", r#"no "x" and \y"#);
        assert_eq!(
            challenge.to_string(),
            r#"Bearer error="invalid_token", error_description="no 'x' and 'y""#
        );
    }

    #[test]
    fn header_cannot_be_injected() {
        for odd in ["\r\nx: y", "\0", "ä", "\u{7f}", "\t"] {
            let challenge = Challenge::bearer().with_realm(odd).with_error(odd.to_owned(), odd);
            let text = challenge.to_string();
            assert!(text.bytes().all(|b| (b' '..=b'~').contains(&b)), "{text:?}");
            assert_eq!(challenge.header_value(), text);
        }
    }

    #[test]
    fn scheme_must_be_a_token() {
        for bad in ["", "a b", "a,b", "a=\"b\"", "ä", "a\r\n", &"x".repeat(65)] {
            assert!(Challenge::new(bad.to_owned()).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn long_text_is_cut() {
        let challenge = Challenge::bearer().with_realm("x".repeat(10_000));
        assert_eq!(challenge.to_string().len(), "Bearer realm=\"\"".len() + MAX_TEXT);
    }

    #[test]
    fn forbidden_adds_no_error_code() {
        // A client that is told `insufficient_scope` asks for more scopes, which would not help.
        assert_eq!(
            Challenge::bearer().for_error(&AuthError::Forbidden),
            Challenge::bearer()
        );
    }
}
