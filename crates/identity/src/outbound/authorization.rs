//! The authorization code flow: the request that a browser is sent with, and what comes back.

use jiff::Timestamp;
use oauth2::{AuthUrl, ClientId, CsrfToken, PkceCodeChallenge, RedirectUrl, Scope, basic::BasicClient};
use portolan_core::{Secret, UserId};
use serde::{Deserialize, Serialize};
use url::{Url, form_urlencoded};

use super::{
    client::{RegisteredClient, secret_text},
    discovery::Provider,
    error::{OAuthError, words},
    token::TokenEndpoint,
    token_set::TokenSet,
};
use crate::EgressClient;

/// An authorization request: where the browser goes, and what is kept until it returns.
#[derive(Debug)]
#[non_exhaustive]
pub struct AuthorizationRequest {
    /// The URL at the provider.
    pub url: Url,
    /// What is kept, sealed.
    pub pending: PendingAuthorization,
}

/// What is kept of an authorization request until the browser returns. It is stored sealed only.
#[derive(Serialize, Deserialize)]
#[non_exhaustive]
pub struct PendingAuthorization {
    /// The issuer that was asked.
    pub issuer: String,
    /// `true` if the answer must carry `iss`.
    requires_iss: bool,
    /// `false` if the issuer is not known, as where endpoints are set by hand.
    checks_iss: bool,
    #[serde(with = "secret_text")]
    verifier: Option<Secret>,
    client: RegisteredClient,
    token_endpoint: Url,
    revocation_endpoint: Option<Url>,
    resource: Option<String>,
    scopes: Vec<String>,
    server: Url,
}

impl std::fmt::Debug for PendingAuthorization {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PendingAuthorization")
            .field("issuer", &self.issuer)
            .finish_non_exhaustive()
    }
}

/// The query with which a browser returns from a provider.
#[derive(Debug, Default)]
struct AuthorizationAnswer {
    code: Option<Secret>,
    iss: Option<String>,
    error: Option<String>,
    error_description: Option<String>,
}

impl AuthorizationAnswer {
    /// Reads a query. Of a parameter that is there twice, the first counts.
    fn parse(query: &str) -> Self {
        let find = |name: &str| {
            let mut pairs = form_urlencoded::parse(query.as_bytes());
            pairs
                .find(|(found, _)| found == name)
                .map(|(_, value)| value.into_owned())
        };
        Self {
            code: find("code").filter(|code| !code.is_empty()).map(Secret::new),
            iss: find("iss"),
            error: find("error"),
            error_description: find("error_description"),
        }
    }
}

/// Returns the scopes to ask for: those of the provider, those of `wanted`, and `offline_access` where it is announced.
pub(super) fn scopes(provider: &Provider, wanted: &[String]) -> Vec<String> {
    let mut scopes = provider.scopes.clone();
    let mut supported = provider.metadata.scopes_supported.iter().flatten();
    let offline = supported.any(|scope| scope == "offline_access");
    for scope in wanted
        .iter()
        .map(String::as_str)
        .chain(offline.then_some("offline_access"))
    {
        if !scopes.iter().any(|known| known == scope) {
            scopes.push(scope.to_owned());
        }
    }
    scopes
}

impl AuthorizationRequest {
    /// Creates a request for `scopes`, with PKCE by S256.
    pub(super) fn new(
        provider: &Provider,
        client: RegisteredClient,
        server: &Url,
        scopes: Vec<String>,
        knows_issuer: bool,
        state: &str,
    ) -> Result<Self, OAuthError> {
        let metadata = &provider.metadata;
        let missing = |what: &str| OAuthError::Discovery(format!("the provider's metadata have no {what}; set it"));
        let authorize = metadata.authorization_endpoint.clone();
        let authorize = authorize.ok_or_else(|| missing("authorization_endpoint"))?;
        let token_endpoint = metadata
            .token_endpoint
            .clone()
            .ok_or_else(|| missing("token_endpoint"))?;
        let redirect = RedirectUrl::new(client.redirect_uri.clone());
        let redirect = redirect.map_err(|_| OAuthError::Unsupported("the redirect URI is no URL".into()))?;
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let oauth2 = BasicClient::new(ClientId::new(client.client_id.clone()))
            .set_auth_uri(AuthUrl::from_url(authorize))
            .set_redirect_uri(redirect);
        let mut request = oauth2
            .authorize_url(|| CsrfToken::new(state.to_owned()))
            .set_pkce_challenge(challenge)
            .add_scopes(scopes.iter().cloned().map(Scope::new));
        if let Some(resource) = &provider.resource {
            request = request.add_extra_param("resource", resource.clone());
        }
        // OpenID Connect gives refresh tokens only with a consent.
        if scopes.iter().any(|scope| scope == "offline_access") {
            request = request.add_extra_param("prompt", "consent");
        }
        let (url, _) = request.url();
        let pending = PendingAuthorization {
            issuer: metadata.issuer.clone(),
            requires_iss: metadata.sends_iss,
            checks_iss: knows_issuer,
            verifier: Some(Secret::new(verifier.secret().clone())),
            client,
            token_endpoint,
            revocation_endpoint: metadata.revocation_endpoint.clone(),
            resource: provider.resource.clone(),
            scopes,
            server: server.clone(),
        };
        Ok(Self { url, pending })
    }
}

impl PendingAuthorization {
    /// Returns the client that asked.
    pub(super) fn client(&self) -> &RegisteredClient {
        &self.client
    }

    /// Checks what came back (RFC 9207 first: nothing of an answer of another issuer is shown), and exchanges the code.
    pub(super) async fn finish(
        &self,
        egress: &EgressClient,
        client: &RegisteredClient,
        query: &str,
        now: Timestamp,
        user: UserId,
    ) -> Result<TokenSet, OAuthError> {
        let answer = AuthorizationAnswer::parse(query);
        match &answer.iss {
            Some(iss) if self.checks_iss && *iss != self.issuer => {
                return Err(OAuthError::Unsupported(
                    "the answer is of another issuer than the one that was asked".into(),
                ));
            }
            None if self.requires_iss => {
                let problem =
                    "the answer does not say which issuer it is of, though the provider announces that it does";
                return Err(OAuthError::Unsupported(problem.into()));
            }
            _ => {}
        }
        if let Some(code) = &answer.error {
            return Err(OAuthError::Refused {
                code: words(code, &[]),
                message: words(answer.error_description.as_deref().unwrap_or(code), &[]),
            });
        }
        let (Some(code), Some(verifier)) = (&answer.code, &self.verifier) else {
            return Err(OAuthError::Unsupported("the provider's answer has no code".into()));
        };
        let endpoint = TokenEndpoint {
            egress,
            url: &self.token_endpoint,
            client,
        };
        let granted = endpoint.code(code.reveal(), verifier, self.resource.as_deref()).await?;
        let mut kept = self.client.clone();
        if !kept.dynamic {
            kept.secret = None;
        }
        let set = TokenSet {
            server: self.server.clone(),
            issuer: self.issuer.clone(),
            client: kept,
            token_endpoint: self.token_endpoint.clone(),
            revocation_endpoint: self.revocation_endpoint.clone(),
            resource: self.resource.clone(),
            scopes: self.scopes.clone(),
            wanted: Vec::new(),
            connected_by: Some(user),
            obtained: now,
            expires: None,
            revoked: None,
            access_token: None,
            refresh_token: None,
        };
        Ok(set.renewed(granted, now))
    }
}
