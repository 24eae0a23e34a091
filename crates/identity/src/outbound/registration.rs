//! Which client the platform is at a provider: pre-registered, by its client id metadata document, or registered
//! dynamically (RFC 7591).

use bytes::Bytes;
use http::{Request, header};
use jiff::Timestamp;
use portolan_core::{ClientAuthMethod, OAuthClient, Secret, ServerSpec};
use serde_json::{Map, Value, json};
use url::Url;

use super::{
    client::RegisteredClient,
    error::{OAuthError, words},
    json as read,
    metadata::ServerMetadata,
    store::Connections,
};
use crate::EgressClient;

/// Scopes of OpenID Connect, which providers refuse in a registration though they may be asked for.
const IDENTITY_SCOPES: [&str; 3] = ["openid", "profile", "email"];

/// What the platform says of itself to providers.
#[derive(Clone, Debug)]
pub(super) struct ClientIdentity {
    pub(super) name: String,
    pub(super) redirect_uri: Url,
    /// The client id metadata document, where the platform has a public one.
    pub(super) document: Option<Url>,
}

pub(super) struct Registrar<'a> {
    pub(super) egress: &'a EgressClient,
    pub(super) connections: &'a Connections,
    pub(super) identity: &'a ClientIdentity,
    pub(super) now: Timestamp,
}

impl Registrar<'_> {
    /// Returns the client for `server` at the provider of `metadata`, registered if need be.
    pub(super) async fn client(
        &self,
        server: &ServerSpec,
        client: &OAuthClient,
        metadata: &ServerMetadata,
        scopes: &[String],
    ) -> Result<RegisteredClient, OAuthError> {
        let mut found = match client {
            OAuthClient::PreRegistered { client_id, method } => {
                let secret = self
                    .connections
                    .server_secret(&server.name, OAuthClient::SECRET)
                    .await?;
                RegisteredClient::new(client_id, secret, *method)
            }
            OAuthClient::MetadataDocument { url } => RegisteredClient::new(url.as_str(), None, None),
            OAuthClient::Dynamic => self.dynamic(metadata, scopes).await?,
            _ => match &self.identity.document {
                Some(url) if metadata.reads_client_documents => RegisteredClient::new(url.as_str(), None, None),
                _ => self.dynamic(metadata, scopes).await?,
            },
        };
        self.identity.redirect_uri.as_str().clone_into(&mut found.redirect_uri);
        Ok(found)
    }

    async fn dynamic(&self, metadata: &ServerMetadata, scopes: &[String]) -> Result<RegisteredClient, OAuthError> {
        let kept = self.connections.client(&metadata.issuer).await?;
        let replaces = kept.as_ref().map(|kept| kept.version);
        if let Some(kept) = kept {
            let usable = !kept.value.is_expired_at(self.now);
            // Providers refuse scopes that a client did not register for.
            let registered = &kept.value.scopes;
            let covers =
                registered.is_empty() || registrable(scopes).all(|scope| registered.iter().any(|known| known == scope));
            if usable && covers && kept.value.redirect_uri == self.identity.redirect_uri.as_str() {
                return Ok(kept.value);
            }
        }
        let Some(endpoint) = &metadata.registration_endpoint else {
            return Err(OAuthError::Registration(format!(
                "the provider {:?} registers no clients by itself; register one there with the redirect URI {} and set it \
                 as OAuthClient::PreRegistered",
                words(&metadata.issuer, &[]),
                self.identity.redirect_uri
            )));
        };
        let client = self.register(endpoint, metadata, scopes).await?;
        Ok(self.connections.keep_client(&metadata.issuer, client, replaces).await?)
    }

    async fn register(
        &self,
        endpoint: &Url,
        metadata: &ServerMetadata,
        scopes: &[String],
    ) -> Result<RegisteredClient, OAuthError> {
        let body = self.request(metadata, scopes);
        let request = Request::post(endpoint.as_str())
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::ACCEPT, "application/json")
            .body(Bytes::from(body.to_string()))
            .map_err(|_| OAuthError::Discovery("the registration endpoint is no HTTP URL".into()))?;
        let answer = self.egress.send(request).await?;
        let (status, object) = (answer.status(), read::object(answer.body()));
        let host = endpoint.host_str().unwrap_or_default();
        if !status.is_success() {
            if status.is_server_error() || status == http::StatusCode::TOO_MANY_REQUESTS {
                return Err(OAuthError::failing(format!(
                    "{host} answered the registration with {}",
                    status.as_u16()
                )));
            }
            let object = object.unwrap_or_default();
            let code = read::text(&object, "error").unwrap_or_else(|| status.as_u16().to_string());
            let told = read::text(&object, "error_description").unwrap_or_default();
            return Err(OAuthError::Registration(format!(
                "{host} does not register this platform ({} {}); register a client there with the redirect URI {} and set \
                 it as OAuthClient::PreRegistered",
                words(&code, &[]),
                words(&told, &[]),
                self.identity.redirect_uri
            )));
        }
        let mut client = self.read(&object.unwrap_or_default(), host)?;
        client.scopes = registrable(scopes).map(str::to_owned).collect();
        Ok(client)
    }

    fn request(&self, metadata: &ServerMetadata, scopes: &[String]) -> Value {
        let supported = metadata.token_endpoint_auth_methods_supported.as_deref();
        let method = supported.map_or("none", |supported| {
            let known = ["none", "client_secret_basic", "client_secret_post"];
            known
                .into_iter()
                .find(|known| supported.iter().any(|method| method == known))
                .unwrap_or("none")
        });
        let native = match self.identity.redirect_uri.host() {
            Some(url::Host::Domain(name)) => name == "localhost",
            Some(url::Host::Ipv4(address)) => address.is_loopback(),
            Some(url::Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        };
        let mut body = json!({
            "client_name": self.identity.name,
            "redirect_uris": [self.identity.redirect_uri.as_str()],
            "grant_types": ["authorization_code", "refresh_token"],
            "response_types": ["code"],
            "token_endpoint_auth_method": method,
            "application_type": if native { "native" } else { "web" },
        });
        let scopes: Vec<&str> = registrable(scopes).collect();
        if !scopes.is_empty() {
            body["scope"] = Value::String(scopes.join(" "));
        }
        body
    }

    fn read(&self, answer: &Map<String, Value>, host: &str) -> Result<RegisteredClient, OAuthError> {
        let refused = |problem: &str| {
            Err(OAuthError::Registration(format!(
                "the registration at {host} {problem}"
            )))
        };
        let Some(client_id) = read::text(answer, "client_id") else {
            return refused("has no client_id");
        };
        let redirects = read::texts(answer, "redirect_uris").unwrap_or_default();
        let own = self.identity.redirect_uri.as_str();
        if !redirects.is_empty() && !redirects.iter().any(|uri| uri == own) {
            return refused("has another redirect URI");
        }
        let secret = read::text(answer, "client_secret").map(Secret::new);
        let method = match read::text(answer, "token_endpoint_auth_method").as_deref() {
            None => None,
            Some("none") => Some(ClientAuthMethod::None),
            Some("client_secret_basic") if secret.is_some() => Some(ClientAuthMethod::ClientSecretBasic),
            Some("client_secret_post") if secret.is_some() => Some(ClientAuthMethod::ClientSecretPost),
            Some("client_secret_basic" | "client_secret_post") => return refused("has no client_secret"),
            Some(other) => {
                return refused(&format!("wants {:?}, which this platform has not", words(other, &[])));
            }
        };
        let mut client = RegisteredClient::new(client_id, secret, method);
        client.dynamic = true;
        own.clone_into(&mut client.redirect_uri);
        let expires = answer
            .get("client_secret_expires_at")
            .and_then(Value::as_i64)
            .filter(|end| *end > 0);
        client.secret_expires = expires.and_then(|end| Timestamp::from_second(end).ok());
        Ok(client)
    }
}

/// Returns the scopes that a registration names.
fn registrable(scopes: &[String]) -> impl Iterator<Item = &str> {
    let scopes = scopes.iter().map(String::as_str);
    scopes.filter(|scope| !IDENTITY_SCOPES.contains(scope))
}
