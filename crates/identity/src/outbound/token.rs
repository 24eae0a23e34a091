//! Requests to token endpoints.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{HeaderValue, Request, Response, header};
use oauth2::{
    AsyncHttpClient, AuthType, AuthorizationCode, ClientId, ClientSecret, PkceCodeVerifier, RedirectUrl, RefreshToken,
    RequestTokenError, Scope, TokenResponse as _, TokenUrl,
    basic::{BasicClient, BasicErrorResponse, BasicTokenResponse, BasicTokenType},
};
use portolan_core::{ClientAuthMethod, Secret};
use url::{Url, form_urlencoded};

use super::{
    client::RegisteredClient,
    error::OAuthError,
    normalize::{Seen, normalize},
};
use crate::{EgressClient, EgressError};

/// The most bytes of a token.
const MAX_TOKEN: usize = 16 << 10;

/// What a token endpoint gave.
#[derive(Debug)]
pub(super) struct Granted {
    pub(super) access_token: Secret,
    pub(super) refresh_token: Option<Secret>,
    /// The lifetime in seconds, if it was said.
    pub(super) expires_in: Option<u64>,
    /// The scopes, if they were said.
    pub(super) scopes: Option<Vec<String>>,
}

/// A token endpoint and the client that asks it.
pub(super) struct TokenEndpoint<'a> {
    pub(super) egress: &'a EgressClient,
    pub(super) url: &'a Url,
    pub(super) client: &'a RegisteredClient,
}

type Answered = Result<BasicTokenResponse, RequestTokenError<EgressError, BasicErrorResponse>>;

impl TokenEndpoint<'_> {
    /// Exchanges an authorization code.
    pub(super) async fn code(
        &self,
        code: &str,
        verifier: &Secret,
        resource: Option<&str>,
    ) -> Result<Granted, OAuthError> {
        let redirect = RedirectUrl::new(self.client.redirect_uri.clone());
        let redirect = redirect.map_err(|_| OAuthError::Unsupported("the redirect URI is no URL".into()))?;
        let client = self.oauth2()?.set_redirect_uri(redirect);
        let mut request = client
            .exchange_code(AuthorizationCode::new(code.to_owned()))
            .set_pkce_verifier(PkceCodeVerifier::new(verifier.reveal().to_owned()));
        if let Some(resource) = resource {
            request = request.add_extra_param("resource", resource.to_owned());
        }
        let http = self.http(&[code, verifier.reveal()]);
        let answered = request.request_async(&http).await;
        self.granted(answered, http.seen())
    }

    /// Exchanges a refresh token.
    pub(super) async fn refresh(&self, token: &Secret, resource: Option<&str>) -> Result<Granted, OAuthError> {
        let (client, token) = (self.oauth2()?, RefreshToken::new(token.reveal().to_owned()));
        let mut request = client.exchange_refresh_token(&token);
        if let Some(resource) = resource {
            request = request.add_extra_param("resource", resource.to_owned());
        }
        let http = self.http(&[token.secret()]);
        let answered = request.request_async(&http).await;
        self.granted(answered, http.seen())
    }

    /// Asks for a token of the client itself.
    pub(super) async fn client_credentials(
        &self,
        scopes: &[String],
        extra: &[(&'static str, String)],
    ) -> Result<Granted, OAuthError> {
        let client = self.oauth2()?;
        let mut request = client
            .exchange_client_credentials()
            .add_scopes(scopes.iter().cloned().map(Scope::new));
        for (name, value) in extra {
            request = request.add_extra_param(*name, value.clone());
        }
        let http = self.http(&[]);
        let answered = request.request_async(&http).await;
        self.granted(answered, http.seen())
    }

    /// Sends a grant that the library does not know. A token of any type is accepted with `any_type`.
    pub(super) async fn form(&self, form: &[(&str, &str)], any_type: bool) -> Result<Granted, OAuthError> {
        let request = self.request(form)?;
        let sent: Vec<&str> = form
            .iter()
            .filter(|(name, _)| matches!(*name, "subject_token" | "assertion" | "actor_token"))
            .map(|(_, value)| *value)
            .collect();
        let http = self.http(&sent);
        let answer = http.call(request).await?;
        let parsed = (answer.status() == 200)
            .then(|| serde_json::from_slice(answer.body()).ok())
            .flatten();
        match parsed {
            Some(answer) => convert(&answer, any_type),
            None => Err(http.seen().into_error(self.host())),
        }
    }

    /// Makes a request with a form and the client's authentication.
    fn request(&self, form: &[(&str, &str)]) -> Result<Request<Vec<u8>>, OAuthError> {
        let mut body = form_urlencoded::Serializer::new(String::new());
        body.extend_pairs(form);
        let mut request = Request::post(self.url.as_str())
            .header(header::ACCEPT, "application/json")
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        let secret = self.client.secret.as_ref().map_or("", Secret::reveal);
        match self.client.method {
            ClientAuthMethod::ClientSecretBasic => {
                let encoded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
                let pair = format!("{}:{}", encoded(&self.client.client_id), encoded(secret));
                let value = HeaderValue::try_from(format!("Basic {}", STANDARD.encode(pair)));
                let mut value = value.map_err(|_| OAuthError::Unsupported("the client id fits no header".into()))?;
                value.set_sensitive(true);
                request = request.header(header::AUTHORIZATION, value);
            }
            ClientAuthMethod::ClientSecretPost => {
                body.append_pair("client_id", &self.client.client_id)
                    .append_pair("client_secret", secret);
            }
            _ => {
                body.append_pair("client_id", &self.client.client_id);
            }
        }
        request
            .body(body.finish().into_bytes())
            .map_err(|_| OAuthError::Unsupported("the token endpoint is no HTTP URL".into()))
    }

    fn oauth2(
        &self,
    ) -> Result<
        BasicClient<
            oauth2::EndpointNotSet,
            oauth2::EndpointNotSet,
            oauth2::EndpointNotSet,
            oauth2::EndpointNotSet,
            oauth2::EndpointSet,
        >,
        OAuthError,
    > {
        let mut client = BasicClient::new(ClientId::new(self.client.client_id.clone()));
        if let (Some(secret), false) = (&self.client.secret, self.client.method == ClientAuthMethod::None) {
            client = client.set_client_secret(ClientSecret::new(secret.reveal().to_owned()));
        }
        let method = match self.client.method {
            ClientAuthMethod::ClientSecretBasic => AuthType::BasicAuth,
            _ => AuthType::RequestBody,
        };
        Ok(client
            .set_auth_type(method)
            .set_token_uri(TokenUrl::from_url(self.url.clone())))
    }

    fn granted(&self, answered: Answered, seen: Seen) -> Result<Granted, OAuthError> {
        match answered {
            Ok(answer) => convert(&answer, false),
            Err(RequestTokenError::Request(error)) => Err(error.into()),
            Err(_) => Err(seen.into_error(self.host())),
        }
    }

    fn http(&self, secrets: &[&str]) -> Http {
        let own = self.client.secret.as_ref().map(Secret::reveal);
        Http {
            egress: self.egress.clone(),
            secrets: own
                .into_iter()
                .chain(secrets.iter().copied())
                .map(str::to_owned)
                .collect(),
            seen: Arc::default(),
        }
    }

    fn host(&self) -> &str {
        self.url.host_str().unwrap_or_default()
    }
}

/// The HTTP function of the library: sends a request, repairs the answer and remembers what it was.
struct Http {
    egress: EgressClient,
    /// What is kept out of errors.
    secrets: Arc<[String]>,
    seen: Arc<Mutex<Seen>>,
}

impl Http {
    fn seen(&self) -> Seen {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl<'c> AsyncHttpClient<'c> for Http {
    type Error = EgressError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Vec<u8>>, EgressError>> + Send + 'c>>;

    fn call(&'c self, request: Request<Vec<u8>>) -> Self::Future {
        let (egress, secrets, seen) = (self.egress.clone(), self.secrets.clone(), self.seen.clone());
        Box::pin(async move {
            let answer = egress.send(request.map(Bytes::from)).await?;
            let secrets: Vec<&str> = secrets.iter().map(String::as_str).collect();
            let (answer, what) = normalize(answer, &secrets);
            *seen.lock().unwrap_or_else(PoisonError::into_inner) = what;
            Ok(answer)
        })
    }
}

fn convert(answer: &BasicTokenResponse, any_type: bool) -> Result<Granted, OAuthError> {
    let refused = |problem: &str| Err(OAuthError::Unsupported(format!("the provider's token {problem}")));
    match answer.token_type() {
        BasicTokenType::Extension(kind) if !any_type && matches!(kind.as_str(), "dpop" | "n_a") => {
            return refused(&format!(
                "is of type {kind:?}, and this platform sends bearer tokens only"
            ));
        }
        BasicTokenType::Mac if !any_type => {
            return refused("is of type \"mac\", and this platform sends bearer tokens only");
        }
        _ => {}
    }
    let token = answer.access_token().secret();
    if token.is_empty() || token.len() > MAX_TOKEN || HeaderValue::try_from(token).is_err() {
        return refused("is empty, too long or fits no header");
    }
    Ok(Granted {
        access_token: Secret::new(token.clone()),
        refresh_token: answer.refresh_token().map(|token| Secret::new(token.secret().clone())),
        expires_in: answer.expires_in().map(|lifetime| lifetime.as_secs()),
        scopes: answer
            .scopes()
            .map(|scopes| scopes.iter().take(128).map(|scope| scope.as_str().to_owned()).collect()),
    })
}

/// Asks a provider to revoke a token (RFC 7009). Returns `true` if it says that it has.
pub(super) async fn revoke(egress: &EgressClient, url: &Url, token: &Secret, client: &RegisteredClient) -> bool {
    let endpoint = TokenEndpoint { egress, url, client };
    match endpoint.request(&[("token", token.reveal())]) {
        Ok(request) => {
            matches!(egress.send(request.map(Bytes::from)).await, Ok(answer) if answer.status().is_success())
        }
        Err(_) => false,
    }
}
