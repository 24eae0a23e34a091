//! The metadata documents of servers (RFC 9728) and of providers (RFC 8414, OpenID Connect Discovery).

use serde_json::{Map, Value};
use url::Url;

use super::{error::OAuthError, json};

/// Protected resource metadata (RFC 9728 2): who gives tokens for a server.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ResourceMetadata {
    /// The resource, as written: it is sent so. `None` if the document has none.
    pub resource: Option<String>,
    /// The issuers, as written, in the order of preference.
    pub authorization_servers: Vec<String>,
    /// The scopes.
    pub scopes_supported: Vec<String>,
}

impl ResourceMetadata {
    pub(super) fn read(document: &Map<String, Value>) -> Self {
        Self {
            resource: json::text(document, "resource"),
            authorization_servers: json::texts(document, "authorization_servers").unwrap_or_default(),
            scopes_supported: json::texts(document, "scopes_supported").unwrap_or_default(),
        }
    }

    /// Checks that the document is about `server`: its `resource` has the same origin and a path that is the server's or
    /// one above it, by whole segments. A final slash makes no difference.
    pub(super) fn check(&self, server: &Url) -> Result<(), OAuthError> {
        let Some(resource) = &self.resource else {
            return Ok(());
        };
        let covers = Url::parse(resource).is_ok_and(|url| {
            let (above, path) = (url.path().trim_end_matches('/'), server.path().trim_end_matches('/'));
            let below = path
                .strip_prefix(above)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
            url.origin() == server.origin() && url.origin().is_tuple() && below
        });
        if covers {
            return Ok(());
        }
        Err(OAuthError::Discovery(format!(
            "the resource metadata of the server are about another resource, {:?}; the server has to publish its own URL",
            super::error::words(resource, &[])
        )))
    }
}

/// The metadata of a provider, as far as a client needs them.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerMetadata {
    /// The issuer, as written: `iss` is compared with it byte for byte.
    pub issuer: String,
    /// The page on which a person signs in.
    pub authorization_endpoint: Option<Url>,
    /// The token endpoint.
    pub token_endpoint: Option<Url>,
    /// Where clients register themselves.
    pub registration_endpoint: Option<Url>,
    /// Where tokens are revoked.
    pub revocation_endpoint: Option<Url>,
    /// The scopes; `None` if not said.
    pub scopes_supported: Option<Vec<String>>,
    /// How clients authenticate at the token endpoint; `None` if not said.
    pub token_endpoint_auth_methods_supported: Option<Vec<String>>,
    /// `true` if PKCE by S256 is announced.
    pub supports_s256: bool,
    /// `true` if authorization answers carry `iss` (RFC 9207).
    pub sends_iss: bool,
    /// `true` if the client id may be the URL of a client id metadata document.
    pub reads_client_documents: bool,
}

impl ServerMetadata {
    pub(super) fn read(document: &Map<String, Value>) -> Option<Self> {
        let methods = json::texts(document, "code_challenge_methods_supported").unwrap_or_default();
        Some(Self {
            issuer: json::text(document, "issuer")?,
            authorization_endpoint: json::url(document, "authorization_endpoint"),
            token_endpoint: json::url(document, "token_endpoint"),
            registration_endpoint: json::url(document, "registration_endpoint"),
            revocation_endpoint: json::url(document, "revocation_endpoint"),
            scopes_supported: json::texts(document, "scopes_supported"),
            token_endpoint_auth_methods_supported: json::texts(document, "token_endpoint_auth_methods_supported"),
            supports_s256: methods.iter().any(|method| method == "S256"),
            sends_iss: json::flag(document, "authorization_response_iss_parameter_supported"),
            reads_client_documents: json::flag(document, "client_id_metadata_document_supported"),
        })
    }

    /// Creates the metadata of a provider that publishes none.
    pub(super) fn fixed(issuer: String, authorization_endpoint: Url, token_endpoint: Url) -> Self {
        Self {
            issuer,
            authorization_endpoint: Some(authorization_endpoint),
            token_endpoint: Some(token_endpoint),
            registration_endpoint: None,
            revocation_endpoint: None,
            scopes_supported: None,
            token_endpoint_auth_methods_supported: None,
            supports_s256: true,
            sends_iss: false,
            reads_client_documents: false,
        }
    }
}
