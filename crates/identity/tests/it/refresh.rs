//! Refreshes: once over all replicas, and what a provider's failures mean for people.

use std::time::Duration;

use futures_util::future::join_all;
use portolan_core::{
    CredentialKey, CredentialReader, CredentialRefusal, CredentialStore, FailureAction, FailureKind, Precondition,
    Secret,
};
use portolan_identity::ConnectionState;
use serde_json::json;

use crate::{
    bed::{Bed, bearer, failure},
    provider::Answer,
};

const HOUR: Duration = Duration::from_secs(3_601);

async fn expired() -> Bed {
    let bed = Bed::new().await;
    bed.connected().await;
    bed.clock.advance(HOUR);
    bed.provider.script().seen.clear();
    bed
}

#[tokio::test]
async fn fifty_callers_refresh_once() {
    let bed = expired().await;
    let other = bed.replica();
    let calls = (0..50).map(|n| {
        let broker = if n % 2 == 0 { &bed.broker } else { &other };
        bed.ask(broker, "alice")
    });
    for credential in join_all(calls).await {
        assert_eq!(bearer(&credential.expect("no failed call")), "Bearer access-2");
    }
    let asked = bed.provider.requests("/token");
    assert_eq!(asked.len(), 1);
    let form = asked[0].form();
    assert_eq!(
        (form["refresh_token"].as_str(), form["resource"].clone()),
        ("refresh-1", format!("{}/mcp", bed.provider.base))
    );
}

#[tokio::test]
async fn provider_trouble_asks_nobody_to_sign_in() {
    for trouble in [
        Answer::text(500, "text/html", "<h1>oops</h1>"),
        Answer::json(503, json!({"error": "temporarily_unavailable"})),
        Answer::json(429, "{}"),
        Answer::json(502, json!({"error": "invalid_grant"})),
        Answer::text(302, "text/plain", ""),
        Answer::text(200, "text/html", "<h1>maintenance</h1>"),
        Answer::json(200, "{}"),
        Answer::json(400, "{}"),
        Answer::json(401, json!({"error": "invalid_grant"})),
    ] {
        let bed = expired().await;
        bed.provider.answer("/token", trouble.clone());
        let failure = bed.failure().await;
        assert_ne!(failure.kind, FailureKind::Credential, "{trouble:?}: {failure:?}");
        assert!(failure.action.is_none(), "{trouble:?}: {failure:?}");
        bed.provider.script().answers.clear();
        let again = bed.ask(&bed.replica(), "alice").await.expect("it works again");
        assert_eq!(bearer(&again), "Bearer access-2", "{trouble:?}");
    }
}

#[tokio::test]
async fn silent_provider_fails_for_now() {
    let bed = expired().await;
    bed.provider.script().silent.insert("/token".into());
    let failures = join_all((0..20).map(|_| bed.ask(&bed.broker, "alice"))).await;
    for result in failures {
        let failure = failure(result);
        assert!(failure.is_retryable() && failure.action.is_none(), "{failure:?}");
        assert!(failure.message.contains("for now"), "{failure:?}");
    }
    assert_eq!(
        bed.provider.requests("/token").len(),
        1,
        "one waits, the others are told"
    );
    bed.provider.script().silent.clear();
    assert_eq!(
        bearer(&bed.ask(&bed.replica(), "alice").await.expect("renewed")),
        "Bearer access-2"
    );
}

#[tokio::test]
async fn revoked_sign_in_is_asked_for_again() {
    let bed = expired().await;
    bed.provider.script().good = None;
    for _ in 0..3 {
        let failure = bed.failure().await;
        assert_eq!(failure.kind, FailureKind::Credential);
        let link = bed.broker.link(&bed.install.name);
        assert_eq!(
            failure.action.as_deref(),
            Some(&FailureAction::Reauthenticate { url: link })
        );
    }
    assert_eq!(
        bed.provider.requests("/token").len(),
        1,
        "a dead token is not tried again"
    );
    let state = bed
        .broker
        .connections()
        .state(&bed.install.name)
        .await
        .expect("a state");
    assert!(matches!(state, ConnectionState::Revoked { reason } if reason.contains("spent or unknown")));
    bed.connected().await;
    assert_eq!(bed.token().await, "Bearer access-2");
}

#[tokio::test]
async fn killed_holder_logs_nobody_out() {
    let bed = expired().await;
    // A replica has marked the token as being spent, and died before it asked the provider.
    let key = CredentialKey::parse(format!("install/{}/.oauth", bed.install.name)).expect("a key");
    let version = bed.store.read(&key).await.expect("read").expect("tokens").version;
    let mark = json!({"spending": version.0, "since": portolan_core::Clock::now(&*bed.clock), "fence": 1}).to_string();
    let mark_key = CredentialKey::parse(format!("{key}.spent")).expect("a key");
    bed.store
        .put(&mark_key, Secret::new(mark), Precondition::None)
        .await
        .expect("stored");
    assert_eq!(bed.token().await, "Bearer access-2");
}

#[tokio::test]
async fn refreshed_ahead_without_waiting() {
    let bed = Bed::new().await;
    bed.connected().await;
    bed.clock.advance(Duration::from_secs(3_500));
    assert_eq!(bed.token().await, "Bearer access-1", "it is good until its end");
    let mut token = String::new();
    while token != "Bearer access-2" {
        tokio::time::sleep(Duration::from_millis(5)).await;
        token = bed.token().await;
    }
    assert_eq!(bed.provider.script().last, 2);
}

#[tokio::test]
async fn refused_token_is_replaced_once() {
    let bed = Bed::new().await;
    bed.connected().await;
    let credential = bed.ask(&bed.broker, "alice").await.expect("a credential");
    let renewal = credential.renewal.clone().expect("a renewal");
    let url = format!("{}/mcp", bed.provider.base).parse().expect("a URL");
    let refusal = CredentialRefusal::new(url, 401, Vec::new());
    // Given just now: a refresh would not help.
    assert!(renewal.renew(&refusal).await.is_err());
    bed.clock.advance(Duration::from_secs(60));
    let renewed = join_all((0..10).map(|_| renewal.renew(&refusal))).await;
    for credential in renewed {
        assert_eq!(
            bearer(&credential.expect("renewed").expect("a credential")),
            "Bearer access-2"
        );
    }
    assert_eq!(bed.provider.script().last, 2);
}

#[tokio::test]
async fn missing_scope_is_asked_for_at_next_sign_in() {
    let bed = Bed::new().await;
    bed.provider.script().token = json!({"scope": "read"});
    bed.connected().await;
    let credential = bed.ask(&bed.broker, "alice").await.expect("a credential");
    let url = format!("{}/mcp", bed.provider.base).parse().expect("a URL");
    let challenge = "Bearer error=\"insufficient_scope\", scope=\"write\"";
    let refusal = CredentialRefusal::new(url, 403, vec![challenge.into()]);
    let failure = failure(
        credential
            .renewal
            .clone()
            .expect("a renewal")
            .renew(&refusal)
            .await
            .map(Option::unwrap),
    );
    assert!(matches!(
        failure.action.as_deref(),
        Some(FailureAction::Reauthenticate { .. })
    ));
    let (_, at) = bed.start().await.expect("a sign-in");
    let scope = crate::bed::parameter(&at, "scope").expect("scopes");
    assert_eq!(scope, "read write");
}

#[tokio::test]
async fn forgotten_client_registers_anew() {
    for (status, code) in [
        (401, "invalid_client"),
        (401, "unauthorized_client"),
        (400, "invalid_client"),
    ] {
        let bed = expired().await;
        bed.provider
            .answer("/token", Answer::json(status, json!({"error": code})));
        let failure = bed.failure().await;
        assert!(
            matches!(failure.action.as_deref(), Some(FailureAction::Reauthenticate { .. })),
            "{failure:?}"
        );
        bed.provider.script().answers.clear();
        bed.connected().await;
        assert_eq!(bed.provider.requests("/register").len(), 1);
    }
}

#[tokio::test]
async fn revocation_reaches_other_replicas() {
    let bed = Bed::new().await;
    bed.connected().await;
    let other = bed.replica();
    bed.ask(&other, "alice").await.expect("a credential");
    assert!(
        bed.broker
            .disconnect(&bed.server, &bed.install)
            .await
            .expect("disconnected")
    );
    assert_eq!(bed.provider.requests("/revoke").len(), 1);
    let deadline = std::time::Instant::now() + Duration::from_secs(5);
    while bed.ask(&other, "alice").await.is_ok() {
        assert!(std::time::Instant::now() < deadline, "it is still used");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn moved_server_gets_no_token() {
    let mut bed = Bed::new().await;
    bed.connected().await;
    bed.server.source = portolan_core::Source::Remote {
        url: "https://evil.example.com/mcp".parse().expect("a URL"),
    };
    assert!(bed.failure().await.message.contains("URL has changed"));
}
