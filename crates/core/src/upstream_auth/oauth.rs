//! What OAuth needs to know of a server.

use serde::{Deserialize, Serialize};
use url::Url;

use crate::Scope;

/// How the owner of an install signs in at the provider of a server. The default discovers everything.
///
/// ```
/// use portolan_core::{OAuthClient, OAuthOptions, Scope};
///
/// let options = OAuthOptions::default()
///     .with_client(OAuthClient::pre_registered("portolan"))
///     .with_scopes([Scope::parse("notes:read")?]);
/// # Ok::<(), portolan_core::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct OAuthOptions {
    /// The OAuth client that the platform is at the provider. Default: found by itself.
    pub client: OAuthClient,
    /// The scopes to ask for. Default, if empty: those of the server's challenge, else of its metadata, else none.
    pub scopes: Vec<Scope>,
    /// What is not discovered, or discovered elsewhere. Default: nothing.
    pub overrides: OAuthOverrides,
}

impl OAuthOptions {
    /// Sets the client.
    #[must_use]
    pub fn with_client(mut self, client: OAuthClient) -> Self {
        self.client = client;
        self
    }

    /// Sets the scopes to ask for.
    #[must_use]
    pub fn with_scopes(mut self, scopes: impl IntoIterator<Item = Scope>) -> Self {
        self.scopes = scopes.into_iter().collect();
        self
    }

    /// Sets what is not discovered.
    #[must_use]
    pub fn with_overrides(mut self, overrides: OAuthOverrides) -> Self {
        self.overrides = overrides;
        self
    }
}

/// The OAuth client that the platform is at a provider.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
#[non_exhaustive]
pub enum OAuthClient {
    /// The platform's client id metadata document where the provider reads such, else dynamic registration.
    #[default]
    Automatic,
    /// A client that an operator has registered. Its secret, if it has one, is in the credential store:
    /// [`Self::SECRET`].
    PreRegistered {
        /// The client id.
        client_id: String,
        /// How the client authenticates. Default: by `client_secret_basic` if it has a secret, else not at all.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        method: Option<ClientAuthMethod>,
    },
    /// The client id is the URL of a client id metadata document.
    MetadataDocument {
        /// The URL of the document.
        url: Url,
    },
    /// Dynamic registration (RFC 7591).
    Dynamic,
}

impl OAuthClient {
    /// The field under which [`CredentialKey::of_server`](crate::CredentialKey::of_server) names the secret of a
    /// pre-registered client.
    pub const SECRET: &'static str = "oauth_client_secret";

    /// Creates a pre-registered client.
    ///
    /// ```
    /// let client = portolan_core::OAuthClient::pre_registered("portolan");
    /// ```
    pub fn pre_registered(client_id: impl Into<String>) -> Self {
        Self::PreRegistered {
            client_id: client_id.into(),
            method: None,
        }
    }
}

/// How a client authenticates at a token endpoint (RFC 7591 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ClientAuthMethod {
    /// Not at all: a public client.
    None,
    /// By HTTP Basic.
    ClientSecretBasic,
    /// By `client_id` and `client_secret` in the body.
    ClientSecretPost,
}

/// What of the discovery an operator fixes, for providers that publish it elsewhere or wrongly.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct OAuthOverrides {
    /// The URL of the protected resource metadata (RFC 9728).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource_metadata: Option<Url>,
    /// The issuer, as the metadata of the provider writes it, byte for byte.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// The URL of the authorization server metadata. The issuer is checked all the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Url>,
    /// The authorization endpoint. With a token endpoint, no metadata of the provider is fetched.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authorization_endpoint: Option<Url>,
    /// The token endpoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_endpoint: Option<Url>,
    /// The parameter `resource`. Default: what the server's metadata say, else its URL.
    pub resource: ResourceIndicator,
    /// `true` to use PKCE with a provider whose metadata do not announce S256. Default: such a provider is refused.
    pub assume_pkce: bool,
}

/// The parameter `resource` (RFC 8707) of OAuth requests.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ResourceIndicator {
    /// What the server's metadata say, else its URL.
    #[default]
    Discovered,
    /// This value.
    Value(String),
    /// The parameter is not sent: for providers that refuse it, such as Entra.
    Omit,
}

/// How the platform gets a token of its own for a server (RFC 6749 4.4).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ClientCredentialsOptions {
    /// The client, its scopes and what is not discovered. The client must be pre-registered.
    #[serde(flatten)]
    pub oauth: OAuthOptions,
    /// The parameter `audience`, which some providers want.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audience: Option<String>,
}

impl ClientCredentialsOptions {
    /// Creates options for a pre-registered client.
    ///
    /// ```
    /// let options = portolan_core::ClientCredentialsOptions::new("portolan");
    /// ```
    pub fn new(client_id: impl Into<String>) -> Self {
        Self {
            oauth: OAuthOptions::default().with_client(OAuthClient::pre_registered(client_id)),
            audience: None,
        }
    }
}

/// How a caller's token is exchanged for a token of the server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TokenExchangeOptions {
    /// The token endpoint at which it is exchanged.
    pub token_endpoint: Url,
    /// The pre-registered client of the exchange.
    pub client_id: String,
    /// How the client authenticates. Default: by `client_secret_basic` if it has a secret, else not at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<ClientAuthMethod>,
    /// The grant. Default: RFC 8693.
    #[serde(default)]
    pub grant: ExchangeGrant,
    /// The scopes to ask for. Default: none are named.
    #[serde(default)]
    pub scopes: Vec<Scope>,
    /// The parameter `audience`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audience: Option<String>,
    /// The parameter `resource`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
    /// The issuer whose tokens are exchanged: a caller with a token of another issuer is refused. Default: any that the
    /// gateway accepts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject_issuer: Option<String>,
}

impl TokenExchangeOptions {
    /// Creates options for an exchange by RFC 8693.
    ///
    /// ```
    /// let url = "https://id.example.com/token".parse().expect("a URL");
    /// let options = portolan_core::TokenExchangeOptions::new(url, "portolan");
    /// ```
    pub fn new(token_endpoint: Url, client_id: impl Into<String>) -> Self {
        Self {
            token_endpoint,
            client_id: client_id.into(),
            method: None,
            grant: ExchangeGrant::default(),
            scopes: Vec::new(),
            audience: None,
            resource: None,
            subject_issuer: None,
        }
    }
}

/// The grant by which a caller's token is exchanged.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
#[non_exhaustive]
pub enum ExchangeGrant {
    /// OAuth token exchange (RFC 8693).
    #[default]
    TokenExchange,
    /// The on-behalf-of flow of Entra: RFC 7523 with `requested_token_use=on_behalf_of`.
    OnBehalfOf,
    /// Enterprise-managed authorization: an exchange for an identity assertion (ID-JAG), then RFC 7523 at the server's own
    /// authorization server.
    IdentityAssertion {
        /// The token endpoint of the server's authorization server.
        token_endpoint: Url,
        /// The client there. Its secret is the field [`ExchangeGrant::ASSERTION_SECRET`] of the server.
        client_id: String,
        /// How the client authenticates there. Default: by `client_secret_basic` if it has a secret, else not at all.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        method: Option<ClientAuthMethod>,
    },
}

impl ExchangeGrant {
    /// The field under which [`CredentialKey::of_server`](crate::CredentialKey::of_server) names the secret of the client
    /// at the server's authorization server.
    pub const ASSERTION_SECRET: &'static str = "assertion_client_secret";
}
