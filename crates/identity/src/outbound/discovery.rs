//! Finds who gives tokens for a server.

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use portolan_core::{OAuthOptions, ResourceIndicator};
use url::Url;

use super::{
    challenge::BearerChallenge,
    error::{OAuthError, words},
    json,
    metadata::{ResourceMetadata, ServerMetadata},
};
use crate::EgressClient;

/// The most issuers of a server that are tried.
const MAX_ISSUERS: usize = 4;

/// A request without a token, which a protected server answers with its challenge.
const PROBE: &str = concat!(
    r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","#,
    r#""capabilities":{},"clientInfo":{"name":"portolan","version":"1"}}}"#
);

/// Who gives tokens for a server, and for what.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Provider {
    /// The metadata of the provider.
    pub metadata: ServerMetadata,
    /// The parameter `resource`; `None` if it is not sent.
    pub resource: Option<String>,
    /// The scopes to ask for, by the order of MCP: the spec's, the challenge's, those of the resource metadata.
    pub scopes: Vec<String>,
}

/// Discovers providers: protected resource metadata from the challenge, the path-inserted and the root location, then
/// the metadata of the provider in each form of RFC 8414 and OpenID Connect.
///
/// ```no_run
/// # async fn f() -> Result<(), Box<dyn std::error::Error>> {
/// use portolan_core::OAuthOptions;
/// use portolan_identity::{Discovery, EgressClient, EgressConfig};
///
/// let discovery = Discovery::new(EgressClient::new(EgressConfig::default())?);
/// let provider = discovery.provider(&"https://mcp.example.com/mcp".parse()?, &OAuthOptions::default()).await?;
/// println!("{}", provider.metadata.issuer);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Discovery {
    egress: EgressClient,
}

impl Discovery {
    /// Creates a discovery by `egress`.
    pub fn new(egress: EgressClient) -> Self {
        Self { egress }
    }

    /// Finds the provider of the server at `server`.
    ///
    /// # Errors
    ///
    /// [`OAuthError::Discovery`] in words if what is published does not fit; [`OAuthError::Failing`] if it cannot be
    /// fetched now.
    pub async fn provider(&self, server: &Url, options: &OAuthOptions) -> Result<Provider, OAuthError> {
        let overrides = &options.overrides;
        let (challenge, resource) = match overrides.token_endpoint {
            // Everything is said: the server itself is not asked.
            Some(_) if overrides.authorization_endpoint.is_some() => (None, None),
            _ => {
                let challenge = self.challenge(server).await?;
                let said = overrides.resource_metadata.as_ref();
                let announced = challenge
                    .as_ref()
                    .and_then(|challenge| challenge.resource_metadata.as_ref());
                let resource = self.resource(server, said.or(announced)).await?;
                (challenge, resource)
            }
        };
        let metadata = self.metadata(server, options, resource.as_ref()).await?;
        self.check(&metadata, overrides.assume_pkce)?;
        let scopes = [
            options.scopes.iter().map(|scope| scope.as_str().to_owned()).collect(),
            challenge.map(|challenge| challenge.scopes).unwrap_or_default(),
            resource
                .as_ref()
                .map(|found| found.scopes_supported.clone())
                .unwrap_or_default(),
        ];
        let resource = match &overrides.resource {
            ResourceIndicator::Omit => None,
            ResourceIndicator::Value(value) => Some(value.clone()),
            _ => Some(
                resource
                    .and_then(|found| found.resource)
                    .unwrap_or_else(|| canonical(server)),
            ),
        };
        Ok(Provider {
            metadata,
            resource,
            scopes: scopes
                .into_iter()
                .find(|scopes: &Vec<_>| !scopes.is_empty())
                .unwrap_or_default(),
        })
    }

    async fn challenge(&self, server: &Url) -> Result<Option<BearerChallenge>, OAuthError> {
        let request = Request::builder()
            .method(Method::POST)
            .uri(server.as_str())
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::ACCEPT, "application/json, text/event-stream")
            .body(Bytes::from_static(PROBE.as_bytes()))
            .map_err(|_| OAuthError::Discovery("the URL of the server is not one of HTTP".into()))?;
        match self.egress.send(request).await {
            Ok(answer) if answer.status() == StatusCode::UNAUTHORIZED => {
                let values = answer.headers().get_all(header::WWW_AUTHENTICATE);
                Ok(BearerChallenge::parse(
                    values.iter().filter_map(|value| value.to_str().ok()),
                ))
            }
            // A server that streams its answer, or does not answer at all, may still have metadata.
            Ok(_) | Err(crate::EgressError::TooLong { .. } | crate::EgressError::Timeout { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    async fn resource(&self, server: &Url, announced: Option<&Url>) -> Result<Option<ResourceMetadata>, OAuthError> {
        let path = server.path().trim_end_matches('/');
        let mut places: Vec<Url> = announced.cloned().into_iter().collect();
        for path in [path, ""] {
            let place = at(server, &format!("/.well-known/oauth-protected-resource{path}"));
            if !places.contains(&place) {
                places.push(place);
            }
        }
        for place in places {
            if let Some(document) = self.document(&place).await? {
                let found = ResourceMetadata::read(&document);
                found.check(server)?;
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    async fn metadata(
        &self,
        server: &Url,
        options: &OAuthOptions,
        resource: Option<&ResourceMetadata>,
    ) -> Result<ServerMetadata, OAuthError> {
        let overrides = &options.overrides;
        if let (Some(authorize), Some(token)) = (&overrides.authorization_endpoint, &overrides.token_endpoint) {
            let issuer = overrides.issuer.clone();
            let issuer = issuer.unwrap_or_else(|| token.origin().ascii_serialization());
            return Ok(ServerMetadata::fixed(issuer, authorize.clone(), token.clone()));
        }
        let mut issuers: Vec<String> = overrides.issuer.clone().into_iter().collect();
        if issuers.is_empty() {
            issuers.extend(
                resource
                    .into_iter()
                    .flat_map(|found| found.authorization_servers.iter().cloned()),
            );
        }
        if issuers.is_empty() {
            issuers.push(server.origin().ascii_serialization());
        }
        let mut last = None;
        for issuer in issuers.iter().take(MAX_ISSUERS) {
            match self.issuer(issuer, overrides.metadata.as_ref()).await {
                Ok(mut found) => {
                    if let Some(url) = &overrides.authorization_endpoint {
                        found.authorization_endpoint = Some(url.clone());
                    }
                    if let Some(url) = &overrides.token_endpoint {
                        found.token_endpoint = Some(url.clone());
                    }
                    return Ok(found);
                }
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| OAuthError::Discovery("the server names no provider".into())))
    }

    /// Fetches the metadata of an issuer from each place where providers have them.
    async fn issuer(&self, issuer: &str, fixed: Option<&Url>) -> Result<ServerMetadata, OAuthError> {
        let url = Url::parse(issuer)
            .map_err(|_| OAuthError::Discovery(format!("the issuer {:?} is no URL", words(issuer, &[]))))?;
        let mut failing = None;
        for place in fixed.map_or_else(|| places(&url), |url| vec![url.clone()]) {
            let document = match self.document(&place).await {
                Ok(Some(document)) => document,
                Ok(None) => continue,
                Err(error @ OAuthError::Failing { .. }) => {
                    failing = Some(error);
                    continue;
                }
                Err(error) => return Err(error),
            };
            let Some(found) = ServerMetadata::read(&document) else {
                continue;
            };
            if found.issuer != issuer {
                return Err(mismatch(issuer, &found.issuer));
            }
            return Ok(found);
        }
        Err(failing.unwrap_or_else(|| {
            OAuthError::Discovery(format!(
                "the provider {:?} publishes no metadata; set its authorization_endpoint and token_endpoint",
                words(issuer, &[])
            ))
        }))
    }

    /// Fetches a JSON object; `None` if there is none.
    async fn document(&self, url: &Url) -> Result<Option<serde_json::Map<String, serde_json::Value>>, OAuthError> {
        let request = Request::get(url.as_str())
            .header(header::ACCEPT, "application/json")
            .body(Bytes::new())
            .map_err(|_| OAuthError::Discovery(format!("{:?} cannot be requested", words(url.as_str(), &[]))))?;
        let answer: Response<Bytes> = self.egress.send(request).await?;
        let status = answer.status();
        if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
            let host = url.host_str().unwrap_or_default();
            return Err(OAuthError::failing(format!("{host} answered {}", status.as_u16())));
        }
        Ok(status.is_success().then(|| json::object(answer.body())).flatten())
    }

    fn check(&self, metadata: &ServerMetadata, assume_pkce: bool) -> Result<(), OAuthError> {
        if !metadata.supports_s256 && !assume_pkce {
            return Err(OAuthError::Discovery(format!(
                "the provider {:?} does not announce PKCE with S256, which protects the sign-in; if it has it all the \
                 same, set assume_pkce",
                words(&metadata.issuer, &[])
            )));
        }
        let endpoints = [
            &metadata.authorization_endpoint,
            &metadata.token_endpoint,
            &metadata.registration_endpoint,
            &metadata.revocation_endpoint,
        ];
        for url in endpoints.into_iter().flatten() {
            self.egress.check(url)?;
        }
        Ok(())
    }
}

fn mismatch(expected: &str, found: &str) -> OAuthError {
    let slash = expected.trim_end_matches('/') == found.trim_end_matches('/');
    let hint = if slash {
        "they differ by a final slash; set the issuer as the provider writes it"
    } else {
        "a provider must publish the issuer that it is known by"
    };
    OAuthError::Discovery(format!(
        "the metadata of {:?} are of the issuer {:?}: {hint}",
        words(expected, &[]),
        words(found, &[])
    ))
}

/// Returns the places of an issuer's metadata: RFC 8414 inserted, OpenID inserted, OpenID appended, RFC 8414 appended.
fn places(issuer: &Url) -> Vec<Url> {
    let path = issuer.path().trim_end_matches('/');
    let (oauth, openid) = (
        "/.well-known/oauth-authorization-server",
        "/.well-known/openid-configuration",
    );
    let mut places = vec![
        at(issuer, &format!("{oauth}{path}")),
        at(issuer, &format!("{openid}{path}")),
    ];
    if !path.is_empty() {
        places.push(at(issuer, &format!("{path}{openid}")));
        places.push(at(issuer, &format!("{path}{oauth}")));
    }
    places
}

fn at(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    url.set_path(path);
    url.set_query(None);
    url.set_fragment(None);
    url
}

/// Returns the URL of a server as the parameter `resource` has it: without fragment, and without the slash of an empty
/// path.
fn canonical(server: &Url) -> String {
    let mut url = server.clone();
    url.set_fragment(None);
    if url.path() == "/" && url.query().is_none() {
        return url.as_str().trim_end_matches('/').to_owned();
    }
    url.into()
}
