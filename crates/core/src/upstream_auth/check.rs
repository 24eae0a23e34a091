//! Checks of a server's credential model.

use url::Url;

use super::{
    ExchangeGrant, HeaderPassthrough, OAuthClient, OAuthOptions, OAuthOverrides, ResourceIndicator, UpstreamAuth,
    without_fragment,
};
use crate::{Error, Result, Source, Transport, server_check::header_name};

const FIELD: &str = "auth";
/// The most scopes and names of headers.
const MAX: usize = 32;
/// The most bytes of a text.
const MAX_TEXT: usize = 2_048;

pub(super) fn auth(auth: &UpstreamAuth, source: &Source) -> Result<()> {
    if !auth.is_fields() && source.transport() == Some(&Transport::Stdio) {
        let problem = "is sent as a header, but a stdio server has none; give it a token by a field with Delivery::Env";
        return Err(Error::invalid(FIELD, problem));
    }
    match auth {
        UpstreamAuth::Fields => Ok(()),
        UpstreamAuth::AuthorizationCode(options) => oauth(options),
        UpstreamAuth::ClientCredentials(options) => {
            if !matches!(options.oauth.client, OAuthClient::PreRegistered { .. }) {
                let problem = "client credentials need a pre-registered client; set OAuthClient::PreRegistered";
                return Err(Error::invalid(FIELD, problem));
            }
            options
                .audience
                .as_deref()
                .map_or(Ok(()), |text| texts("audience", text))?;
            oauth(&options.oauth)
        }
        UpstreamAuth::TokenExchange(options) => {
            endpoint("the token endpoint", &options.token_endpoint)?;
            texts("the client id", &options.client_id)?;
            scopes(options.scopes.len())?;
            for text in [&options.audience, &options.resource, &options.subject_issuer]
                .into_iter()
                .flatten()
            {
                texts("a parameter of the exchange", text)?;
            }
            if let ExchangeGrant::IdentityAssertion {
                token_endpoint,
                client_id,
                ..
            } = &options.grant
            {
                endpoint("the token endpoint of the assertion", token_endpoint)?;
                texts("the client id of the assertion", client_id)?;
                if options.audience.is_none() {
                    let problem = "an identity assertion needs an audience: the issuer of the server's provider";
                    return Err(Error::invalid(FIELD, problem));
                }
            }
            Ok(())
        }
        UpstreamAuth::JwtPassthrough { audience } => texts("the audience", audience),
    }
}

fn oauth(options: &OAuthOptions) -> Result<()> {
    scopes(options.scopes.len())?;
    match &options.client {
        OAuthClient::PreRegistered { client_id, .. } => texts("the client id", client_id)?,
        OAuthClient::MetadataDocument { url } if url.scheme() != "https" || url.path() == "/" => {
            let problem = "a client id metadata document has an https URL with a path";
            return Err(Error::invalid(FIELD, problem));
        }
        _ => {}
    }
    overrides(&options.overrides)
}

fn overrides(overrides: &OAuthOverrides) -> Result<()> {
    for (what, url) in [
        ("the resource metadata", &overrides.resource_metadata),
        ("the metadata", &overrides.metadata),
        ("the authorization endpoint", &overrides.authorization_endpoint),
        ("the token endpoint", &overrides.token_endpoint),
    ] {
        url.as_ref().map_or(Ok(()), |url| endpoint(what, url))?;
    }
    if let Some(issuer) = &overrides.issuer {
        let url = Url::parse(issuer).map_err(|_| Error::invalid(FIELD, "the issuer is no URL"))?;
        endpoint("the issuer", &url)?;
    }
    if let ResourceIndicator::Value(resource) = &overrides.resource {
        texts("the resource", resource)?;
    }
    Ok(())
}

fn endpoint(what: &str, url: &Url) -> Result<()> {
    let plain = matches!(url.scheme(), "https" | "http") && url.username().is_empty() && url.password().is_none();
    if plain && *url == without_fragment(url) && url.as_str().len() <= MAX_TEXT {
        return Ok(());
    }
    let problem = format!("{what} needs an HTTP URL without user, password and fragment, in at most {MAX_TEXT} bytes");
    Err(Error::invalid(FIELD, problem))
}

fn texts(what: &str, text: &str) -> Result<()> {
    if !text.is_empty() && text.len() <= MAX_TEXT && !text.chars().any(char::is_control) {
        return Ok(());
    }
    let problem = format!("{what} needs 1 to {MAX_TEXT} bytes without control characters");
    Err(Error::invalid(FIELD, problem))
}

fn scopes(number: usize) -> Result<()> {
    if number <= MAX {
        return Ok(());
    }
    Err(Error::invalid(FIELD, format!("has {number} scopes; use at most {MAX}")))
}

pub(super) fn passthrough(passed: &HeaderPassthrough) -> Result<()> {
    if passed.names.len() > MAX {
        let problem = format!("has {} names; use at most {MAX}", passed.names.len());
        return Err(Error::invalid("passthrough", problem));
    }
    for name in &passed.names {
        header_name(name)?;
        let is_credential = ["authorization", "cookie"].contains(&name.to_ascii_lowercase().as_str());
        if is_credential && !passed.allow_credentials {
            let problem = format!(
                "{name:?} lets the server act as the caller at the gateway; if that is meant, set allow_credentials"
            );
            return Err(Error::invalid("passthrough", problem));
        }
    }
    Ok(())
}
