//! One authorization code grant, with a person who agrees to everything (2026-07-28, basic/authorization).

use anyhow::{Context, Result, bail, ensure};
use http_body_util::Empty;
use hyper::{Request, body::Bytes, header::LOCATION};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use rmcp::transport::auth::{
    AuthorizationManager, AuthorizationMetadata, AuthorizationRequest, AuthorizationSession, OAuthClientConfig,
};
use url::Url;

use crate::oauth::Asked;

/// Where our client's metadata would be, if it were a client of this name in the world (SEP-991).
const CLIENT_METADATA: &str = "https://conformance-test.local/client-metadata.json";
/// Nobody listens there: the redirect is read and not followed.
const REDIRECT: &str = "http://localhost:3000/callback";
const NAME: &str = "Portolan";

/// A token, and what it is good for.
pub(crate) struct Token {
    pub(crate) access: String,
    pub(crate) scopes: Vec<String>,
}

/// Asks for a token for the server at `url`. Without `scopes`, those of its challenge or of its metadata are asked for.
pub(crate) async fn ask(url: &Url, challenge: Option<&str>, scopes: &[String], asked: &mut Asked) -> Result<Token> {
    let mut manager = AuthorizationManager::new(url.as_str()).await?;
    let found = manager.resolve_metadata_from_challenge(challenge).await?;
    ensure!(
        found.source.is_discovered(),
        "the server names no authorization server, and none is made up"
    );
    let issuer = found.metadata.issuer.clone().context("its metadata name no issuer")?;
    check(&found.metadata)?;
    let takes_urls = takes_client_urls(&found.metadata);
    manager.set_metadata(found.metadata);
    let scopes = match scopes {
        [] => manager.select_initial_scopes(&[]).await,
        _ => scopes.to_vec(),
    };
    let client = client(&mut manager, &issuer, takes_urls, &scopes, asked).await?;
    let mut request = AuthorizationRequest::new(REDIRECT)
        .with_scopes(scopes)
        .with_initial_scope_selection()
        .with_preregistered_client(client.client_id);
    if let Some(secret) = client.client_secret {
        request = request.with_client_secret(secret);
    }
    let session = AuthorizationSession::new(manager, request).await;
    let session = session.map_err(|(_, error)| error)?;
    let location = agree(session.get_authorization_url()).await?;
    // It checks the state and the issuer before it looks at the code (RFC 9207).
    session.handle_callback_url(&location).await?;
    Ok(Token {
        access: session.auth_manager.get_access_token().await?,
        scopes: session.auth_manager.get_current_scopes().await,
    })
}

/// What an authorization server must offer (2026-07-28, basic/authorization, PKCE).
fn check(metadata: &AuthorizationMetadata) -> Result<()> {
    let methods = metadata.code_challenge_methods_supported.as_deref().unwrap_or_default();
    ensure!(
        methods.iter().any(|method| method == "S256"),
        "the authorization server does not do PKCE with S256"
    );
    Ok(())
}

fn takes_client_urls(metadata: &AuthorizationMetadata) -> bool {
    let supported = metadata.additional_fields.get("client_id_metadata_document_supported");
    supported.is_some_and(|supported| *supported == true)
}

/// Who we are to an authorization server: whom it knows already, our URL, or whom it makes of us. What one server has
/// given is never shown to another (SEP-2352).
async fn client(
    manager: &mut AuthorizationManager,
    issuer: &str,
    takes_urls: bool,
    scopes: &[String],
    asked: &mut Asked,
) -> Result<OAuthClientConfig> {
    if let Some(identity) = &asked.identity {
        if identity.issuer != issuer {
            bail!(
                "the client is known to {}, and the server now names {issuer}",
                identity.issuer
            );
        }
        let known = OAuthClientConfig::new(&identity.client_id, REDIRECT);
        return Ok(match &identity.client_secret {
            Some(secret) => known.with_client_secret(secret),
            None => known,
        });
    }
    if takes_urls {
        return Ok(OAuthClientConfig::new(CLIENT_METADATA, REDIRECT));
    }
    if let Some(known) = asked.registered.get(issuer) {
        return Ok(known.clone());
    }
    let scopes: Vec<&str> = scopes.iter().map(String::as_str).collect();
    let made = manager.register_client(NAME, REDIRECT, &scopes).await?;
    asked.registered.insert(issuer.to_owned(), made.clone());
    Ok(made)
}

/// Visits the page that asks for consent, which the suite gives by itself, and says where it sends the browser.
async fn agree(url: &str) -> Result<String> {
    let http = Client::builder(TokioExecutor::new()).build_http();
    let request = Request::get(url).body(Empty::<Bytes>::new())?;
    let response = http.request(request).await?;
    let location = response.headers().get(LOCATION);
    let location = location.with_context(|| format!("the page of consent answered with {}", response.status()))?;
    Ok(location.to_str()?.to_owned())
}
