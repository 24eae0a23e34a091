//! The credential model of a server: as whom it is called.

mod check;
mod oauth;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use url::Url;

use crate::{Result, Source};

pub use oauth::{
    ClientAuthMethod, ClientCredentialsOptions, ExchangeGrant, OAuthClient, OAuthOptions, OAuthOverrides,
    ResourceIndicator, TokenExchangeOptions,
};

/// As whom a server is called: where the credential of a request comes from.
///
/// Fields with [`Delivery::Header`](crate::Delivery::Header) are sent in every kind; a token replaces an
/// `Authorization` header that a field gives. Secrets are credential keys and never in the spec: the secret of an OAuth
/// client is [`CredentialKey::of_server`](crate::CredentialKey::of_server) with the field
/// [`OAuthClient::SECRET`].
///
/// ```
/// use portolan_core::{OAuthOptions, ServerSpec, UpstreamAuth};
///
/// let server = ServerSpec::remote("notes", "https://notes.example.com/mcp")?
///     .auth(UpstreamAuth::AuthorizationCode(OAuthOptions::default()));
/// server.check()?;
/// # Ok::<(), portolan_core::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
#[non_exhaustive]
pub enum UpstreamAuth {
    /// What the server's fields say, and nothing else.
    #[default]
    Fields,
    /// A token of the owner of the install, who signs in at the provider once (OAuth 2.1, authorization code with PKCE).
    AuthorizationCode(OAuthOptions),
    /// A token of the platform itself (RFC 6749 4.4), one for all callers.
    ClientCredentials(ClientCredentialsOptions),
    /// A token of the caller, exchanged for the token with which the caller came to the gateway (RFC 8693, RFC 7523).
    TokenExchange(TokenExchangeOptions),
    /// The token with which the caller came to the gateway, as it is. MCP forbids this unless the token was issued for the
    /// server, so the token's `aud` must hold `audience`.
    JwtPassthrough {
        /// The audience that a token must have, as text: mostly the URL of the server.
        audience: String,
    },
}

impl UpstreamAuth {
    /// Returns `true` for [`Fields`](Self::Fields).
    pub fn is_fields(&self) -> bool {
        *self == Self::Fields
    }

    /// Returns `true` if the credential is the caller's own and not the install's.
    pub fn is_per_caller(&self) -> bool {
        matches!(self, Self::TokenExchange(_) | Self::JwtPassthrough { .. })
    }

    pub(crate) fn check(&self, source: &Source) -> Result<()> {
        check::auth(self, source)
    }
}

/// The headers of a caller's request that a server is sent: an allow list. Hop-by-hop headers and those of the protocol
/// are never passed on. They fill names that are still missing and replace none.
///
/// ```
/// use portolan_core::HeaderPassthrough;
///
/// let mut passed = HeaderPassthrough::default();
/// passed.names.insert("x-request-id".into());
/// assert!(!passed.allow_credentials);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct HeaderPassthrough {
    /// The names, in any case. Default: none. At most 32.
    pub names: BTreeSet<String>,
    /// `true` if `Authorization` and `Cookie` may be among the names. Default: no, because they let the server act as the
    /// caller at the gateway.
    pub allow_credentials: bool,
}

impl HeaderPassthrough {
    /// Returns `true` if no header is passed on.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    pub(crate) fn check(&self) -> Result<()> {
        check::passthrough(self)
    }
}

/// Returns `url` without fragment: the canonical form of a resource (RFC 8707 2).
pub(crate) fn without_fragment(url: &Url) -> Url {
    let mut url = url.clone();
    url.set_fragment(None);
    url
}

#[cfg(test)]
mod tests;
