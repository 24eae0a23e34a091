//! Exchanges a caller's token for one of a server: RFC 8693, on-behalf-of, identity assertions.

use portolan_core::{ClientAuthMethod, ExchangeGrant, OAuthClient, Secret, ServerName, TokenExchangeOptions};

use super::{
    client::RegisteredClient,
    error::OAuthError,
    store::Connections,
    token::{Granted, TokenEndpoint},
};
use crate::EgressClient;

const TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const ID_JAG: &str = "urn:ietf:params:oauth:token-type:id-jag";

/// Exchanges `subject` as `options` say.
pub(super) async fn exchange(
    egress: &EgressClient,
    connections: &Connections,
    server: &ServerName,
    options: &TokenExchangeOptions,
    subject: &Secret,
) -> Result<Granted, OAuthError> {
    let scopes: Vec<_> = options.scopes.iter().map(|scope| scope.as_str()).collect();
    let scope = scopes.join(" ");
    let client = client(
        connections,
        server,
        OAuthClient::SECRET,
        &options.client_id,
        options.method,
    )
    .await?;
    let endpoint = TokenEndpoint {
        egress,
        url: &options.token_endpoint,
        client: &client,
    };
    let subject = subject.reveal();
    let mut form = grant_form(&options.grant, subject);
    let scope = Some(scope).filter(|scope| !scope.is_empty());
    let named = [
        ("scope", &scope),
        ("audience", &options.audience),
        ("resource", &options.resource),
    ];
    for (name, value) in named {
        if let Some(value) = value {
            form.push((name, value));
        }
    }
    let ExchangeGrant::IdentityAssertion {
        token_endpoint,
        client_id,
        method,
    } = &options.grant
    else {
        return endpoint.form(&form, false).await;
    };
    let assertion = endpoint.form(&form, true).await?;
    let client = self::client(connections, server, ExchangeGrant::ASSERTION_SECRET, client_id, *method).await?;
    let endpoint = TokenEndpoint {
        egress,
        url: token_endpoint,
        client: &client,
    };
    let mut form = vec![
        ("grant_type", JWT_BEARER),
        ("assertion", assertion.access_token.reveal()),
    ];
    if let Some(scope) = &scope {
        form.push(("scope", scope));
    }
    endpoint.form(&form, false).await
}

/// Returns the parameters of a grant that has `subject` as its token.
fn grant_form<'a>(grant: &ExchangeGrant, subject: &'a str) -> Vec<(&'a str, &'a str)> {
    let requested = match grant {
        ExchangeGrant::OnBehalfOf => {
            return vec![
                ("grant_type", JWT_BEARER),
                ("assertion", subject),
                ("requested_token_use", "on_behalf_of"),
            ];
        }
        ExchangeGrant::IdentityAssertion { .. } => ID_JAG,
        _ => ACCESS_TOKEN,
    };
    vec![
        ("grant_type", TOKEN_EXCHANGE),
        ("subject_token", subject),
        ("subject_token_type", ACCESS_TOKEN),
        ("requested_token_type", requested),
    ]
}

async fn client(
    connections: &Connections,
    server: &ServerName,
    field: &str,
    id: &str,
    method: Option<ClientAuthMethod>,
) -> Result<RegisteredClient, OAuthError> {
    let secret = connections.server_secret(server, field).await?;
    Ok(RegisteredClient::new(id, secret, method))
}
