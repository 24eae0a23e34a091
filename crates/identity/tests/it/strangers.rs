//! No credential of another person ever leaves.

use std::time::Duration;

use portolan_core::{
    CredentialBroker, CredentialContext, HeaderPassthrough, Owner, Secret, UpstreamAuth, conformance::broker,
};
use proptest::prelude::*;

use crate::bed::{Bed, bearer, caller};

portolan_core::broker_suite!(async || {
    let bed = Bed::new().await;
    bed.connected().await;
    let mut fixture = broker::Fixture::new(
        std::sync::Arc::new(bed.broker.clone()),
        bed.server.clone(),
        bed.install.clone(),
        caller("alice"),
        caller("bob"),
    );
    let mut incomplete = bed.install.clone();
    incomplete.name = portolan_core::conformance::sample::install_name(9);
    fixture.incomplete = Some(incomplete);
    fixture
});

#[derive(Clone, Debug)]
enum Step {
    Call { user: usize, install: usize },
    Expire,
    Disconnect { install: usize },
    Forget { install: usize },
    Connect { install: usize },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0..3usize, 0..3usize).prop_map(|(user, install)| Step::Call { user, install }),
        1 => Just(Step::Expire),
        1 => (0..3usize).prop_map(|install| Step::Disconnect { install }),
        1 => (0..3usize).prop_map(|install| Step::Forget { install }),
        2 => (0..3usize).prop_map(|install| Step::Connect { install }),
    ];
    proptest::collection::vec(step, 1..40)
}

const USERS: [&str; 3] = ["alice", "bob", "carol"];

/// Runs the steps; the provider's access tokens say for which sign-in they are.
async fn run(steps: Vec<Step>) {
    let bed = Bed::new().await;
    let mut owned: std::collections::BTreeMap<String, usize> = std::collections::BTreeMap::new();
    let installs: Vec<_> = (0..3)
        .map(|n| {
            let mut install = bed.install.clone();
            install.name = portolan_core::conformance::sample::install_name(100 + n as u128);
            install.owner = Owner::Personal(portolan_core::UserId::parse(USERS[n]).expect("a user"));
            install
        })
        .collect();
    for step in steps {
        match step {
            Step::Connect { install: n } => {
                let request = bed
                    .broker
                    .authorize(&bed.server, &installs[n], "s")
                    .await
                    .expect("a request");
                // A grant of its own for each sign-in: its tokens do not rotate.
                let token = format!("of-{n}-{}", owned.len());
                owned.insert(token.clone(), n);
                bed.provider.script().token = serde_json::json!({"access_token": token, "refresh_token": "(none)"});
                let query = format!("code=c&iss={}", bed.provider.base);
                let user = portolan_core::UserId::parse(USERS[n]).expect("a user");
                bed.broker
                    .finish(&bed.server, &installs[n], &request.pending, &query, user)
                    .await
                    .expect("signed in");
            }
            Step::Expire => bed.clock.advance(Duration::from_secs(4_000)),
            Step::Disconnect { install: n } => {
                bed.broker
                    .disconnect(&bed.server, &installs[n])
                    .await
                    .expect("disconnected");
            }
            Step::Forget { install: n } => bed.broker.forget(&installs[n], None),
            Step::Call { user, install: n } => {
                let caller = caller(USERS[user]);
                let context = CredentialContext::new(&caller, &bed.server, &installs[n]);
                if let Ok(credential) = bed.broker.credential(&context).await {
                    let token = bearer(&credential);
                    let owner = owned[token.strip_prefix("Bearer ").expect("a bearer token")];
                    assert_eq!((user, n), (owner, owner), "a credential of another person has left");
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn no_credential_of_another_person_leaves(steps in steps()) {
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(run(steps));
    }
}

#[tokio::test]
async fn only_listed_headers_pass() {
    let mut bed = Bed::with(UpstreamAuth::Fields).await;
    let mut passed = HeaderPassthrough::default();
    for name in [
        "X-Tenant",
        "x-hop",
        "Cookie",
        "authorization",
        "connection",
        "mcp-session-id",
    ] {
        passed.names.insert(name.into());
    }
    bed.server.passthrough = passed;
    let mut headers = http::HeaderMap::new();
    for (name, value) in [
        ("x-tenant", "t"),
        ("x-hop", "h"),
        ("x-other", "o"),
        ("cookie", "c"),
        ("authorization", "a"),
        ("connection", "x-hop"),
        ("mcp-session-id", "s"),
    ] {
        headers.insert(name, value.parse().expect("a value"));
    }
    let alice = caller("alice");
    let context = CredentialContext::new(&alice, &bed.server, &bed.install).with_headers(&headers);
    let credential = bed.broker.credential(&context).await.expect("a credential");
    let names: Vec<_> = credential.headers.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["x-tenant"]);
    bed.server.passthrough.allow_credentials = true;
    let context = CredentialContext::new(&alice, &bed.server, &bed.install).with_headers(&headers);
    let credential = bed.broker.credential(&context).await.expect("a credential");
    assert_eq!(credential.headers.len(), 3);
}

#[tokio::test]
async fn jwt_passes_to_its_audience_only() {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    let audience = "https://notes.example.com/mcp".to_owned();
    let bed = Bed::with(UpstreamAuth::JwtPassthrough { audience }).await;
    for (claims, passes) in [
        (r#"{"aud":"https://notes.example.com/mcp"}"#, true),
        (r#"{"aud":["x","https://notes.example.com/mcp"]}"#, true),
        (r#"{"aud":"https://notes.example.com/mcp/"}"#, false),
        (r#"{"aud":[]}"#, false),
        ("{}", false),
    ] {
        let token = format!("e30.{}.sig", URL_SAFE_NO_PAD.encode(claims));
        let alice = caller("alice").with_token(Secret::new(token.clone()));
        let context = CredentialContext::new(&alice, &bed.server, &bed.install);
        let credential = bed.broker.credential(&context).await;
        assert_eq!(credential.is_ok(), passes, "{claims}");
        if let Ok(credential) = credential {
            assert_eq!(bearer(&credential), format!("Bearer {token}"));
        }
    }
}
