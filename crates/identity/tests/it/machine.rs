//! Tokens that nobody signs in for: client credentials, exchanges of the caller's token.

use portolan_core::{
    ClientAuthMethod, ClientCredentialsOptions, CredentialBroker, CredentialContext, CredentialKey, CredentialRefusal,
    CredentialStore, ExchangeGrant, FailureKind, FieldKey, OAuthClient, Precondition, Secret, TokenExchangeOptions,
    UpstreamAuth,
};
use serde_json::json;

use crate::{
    bed::{Bed, bearer, caller, failure},
    provider::Answer,
};

async fn secret(bed: &Bed, field: &str, value: &str) {
    let key = CredentialKey::of_server(&bed.server.name, &FieldKey::parse(field).expect("a field"));
    bed.store
        .put(&key, Secret::new(value), Precondition::None)
        .await
        .expect("stored");
}

async fn client_credentials() -> Bed {
    let bed = Bed::with(UpstreamAuth::ClientCredentials(ClientCredentialsOptions::new(
        "portolan",
    )))
    .await;
    secret(&bed, OAuthClient::SECRET, "s3cr3t").await;
    bed.provider.script().token = json!({"refresh_token": "(none)"});
    bed
}

#[tokio::test]
async fn client_credentials_are_asked_for_once() {
    let bed = client_credentials().await;
    let calls = futures_util::future::join_all((0..20).map(|_| bed.ask(&bed.broker, "alice"))).await;
    for credential in calls {
        assert_eq!(bearer(&credential.expect("a credential")), "Bearer access-1");
    }
    let asked = bed.provider.requests("/token");
    assert_eq!(asked.len(), 1);
    assert!(
        asked[0]
            .authorization
            .as_deref()
            .is_some_and(|value| value.starts_with("Basic "))
    );
    let form = asked[0].form();
    assert_eq!(form["grant_type"], "client_credentials");
    assert_eq!(form["resource"], format!("{}/mcp", bed.provider.base));
}

#[tokio::test]
async fn refused_machine_token_is_replaced() {
    let bed = client_credentials().await;
    let first = bed.ask(&bed.broker, "alice").await.expect("a credential");
    let url = format!("{}/mcp", bed.provider.base).parse().expect("a URL");
    let renewal = first.renewal.clone().expect("a renewal");
    let renewed = renewal
        .renew(&CredentialRefusal::new(url, 401, Vec::new()))
        .await
        .expect("renewed");
    assert_eq!(bearer(&renewed.expect("a credential")), "Bearer access-2");
    assert_eq!(bed.token().await, "Bearer access-2");
}

#[tokio::test]
async fn refused_machine_client_is_the_operators() {
    let bed = client_credentials().await;
    bed.provider
        .answer("/token", Answer::json(401, json!({"error": "unauthorized_client"})));
    let failure = bed.failure().await;
    assert_eq!(failure.kind, FailureKind::Config);
    assert!(failure.action.is_none() && failure.remedy.is_some_and(|remedy| remedy.contains("operator")));
}

/// A server whose callers' tokens are exchanged by `grant`, at the endpoint of a bed that is made afterwards.
async fn exchanging(grant: impl Fn(&str) -> ExchangeGrant) -> Bed {
    let mut bed = Bed::with(UpstreamAuth::Fields).await;
    let url = format!("{}/token", bed.provider.base).parse().expect("a URL");
    let mut options = TokenExchangeOptions::new(url, "portolan");
    options.grant = grant(&bed.provider.base);
    options.audience = Some("notes".into());
    bed.server.auth = UpstreamAuth::TokenExchange(options);
    secret(&bed, OAuthClient::SECRET, "s3cr3t").await;
    bed
}

async fn call(bed: &Bed, user: &str, token: Option<&str>) -> portolan_core::Result<String> {
    let mut caller = caller(user);
    caller.token = token.map(Secret::new);
    let mut install = bed.install.clone();
    install.owner = portolan_core::Owner::Org;
    let context = CredentialContext::new(&caller, &bed.server, &install);
    bed.broker
        .credential(&context)
        .await
        .map(|credential| bearer(&credential))
}

#[tokio::test]
async fn exchanged_token_is_the_callers_own() {
    let bed = exchanging(|_| ExchangeGrant::TokenExchange).await;
    let alice = call(&bed, "alice", Some("token-a")).await.expect("a token");
    let bob = call(&bed, "bob", Some("token-b")).await.expect("a token");
    assert_ne!(alice, bob);
    assert_eq!(call(&bed, "alice", Some("token-a")).await.expect("a token"), alice);
    let asked = bed.provider.requests("/token");
    assert_eq!(asked.len(), 2);
    let form = asked[0].form();
    assert_eq!(form["grant_type"], "urn:ietf:params:oauth:grant-type:token-exchange");
    assert_eq!(
        (form["subject_token"].as_str(), form["audience"].as_str()),
        ("token-a", "notes")
    );
    assert!(call(&bed, "alice", None).await.is_err());
}

#[tokio::test]
async fn on_behalf_of_names_its_use() {
    let bed = exchanging(|_| ExchangeGrant::OnBehalfOf).await;
    call(&bed, "alice", Some("token-a")).await.expect("a token");
    let form = bed.provider.requests("/token")[0].form();
    assert_eq!(form["grant_type"], "urn:ietf:params:oauth:grant-type:jwt-bearer");
    assert_eq!(
        (form["assertion"].as_str(), form["requested_token_use"].as_str()),
        ("token-a", "on_behalf_of")
    );
}

#[tokio::test]
async fn identity_assertion_takes_both_steps() {
    let bed = exchanging(|base| ExchangeGrant::IdentityAssertion {
        token_endpoint: format!("{base}/as/token").parse().expect("a URL"),
        client_id: "at-the-server".into(),
        method: Some(ClientAuthMethod::ClientSecretPost),
    })
    .await;
    secret(&bed, ExchangeGrant::ASSERTION_SECRET, "other").await;
    let assertion = json!({"access_token": "the.id.jag", "token_type": "N_A", "expires_in": 300});
    bed.provider.answer("/token", Answer::json(200, assertion));
    bed.provider.answer(
        "/as/token",
        Answer::json(200, json!({"access_token": "t", "token_type": "Bearer"})),
    );
    assert_eq!(call(&bed, "alice", Some("token-a")).await.expect("a token"), "Bearer t");
    let first = bed.provider.requests("/token")[0].form();
    assert_eq!(first["requested_token_type"], "urn:ietf:params:oauth:token-type:id-jag");
    let second = bed.provider.requests("/as/token")[0].form();
    assert_eq!(
        (second["assertion"].as_str(), second["client_secret"].as_str()),
        ("the.id.jag", "other")
    );
}

#[tokio::test]
async fn refused_exchange_shows_no_token() {
    let bed = exchanging(|_| ExchangeGrant::TokenExchange).await;
    let body = json!({"error": "access_denied", "error_description": "token-a is not for you"});
    bed.provider.answer("/token", Answer::json(403, body));
    let mut alice = caller("alice");
    alice.token = Some(Secret::new("token-a"));
    let context = CredentialContext::new(&alice, &bed.server, &bed.install);
    let failure = failure(bed.broker.credential(&context).await);
    assert!(
        failure.message.contains("is not for you") && !failure.message.contains("token-a"),
        "{failure:?}"
    );
}
