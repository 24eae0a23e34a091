//! Refused credentials: which authenticator is asked, and what the client is told.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use http::{header, request::Parts};
use portolan_core::{AuthError, Authenticator, Caller, Challenge, GatewayName, Subject, SystemClock};
use portolan_gateway::StaticTokens;

use crate::support::{
    client::ClientVersion,
    gateway::{TestGateway, gateway_name, grant, tokens, user},
    upstreams::{Eras, HttpFixture, http},
};

type Asked = Arc<Mutex<Vec<&'static str>>>;

/// Knows one bearer token, refuses another, and notes that it was asked.
#[derive(Debug)]
struct Login {
    name: &'static str,
    knows: &'static str,
    refuses: &'static str,
    asked: Asked,
}

#[async_trait]
impl Authenticator for Login {
    async fn authenticate(&self, _: &GatewayName, request: &Parts) -> Result<Option<Arc<Caller>>, AuthError> {
        self.asked.lock().expect("no panic").push(self.name);
        let value = request.headers.get(header::AUTHORIZATION);
        let token = value.and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
        match token {
            Some(token) if token == self.knows => {
                Ok(Some(Arc::new(Caller::new(Subject::User(user(self.name)), "login"))))
            }
            Some(token) if token == self.refuses => Err(AuthError::Invalid),
            _ => Ok(None),
        }
    }

    fn challenge(&self, gateway: &GatewayName) -> Option<Challenge> {
        Some(Challenge::bearer().with_realm(format!("{gateway} {}", self.name)))
    }
}

/// A gateway with these authenticators, and the names of those that were asked.
async fn start(authenticators: Vec<Arc<dyn Authenticator>>) -> (HttpFixture, TestGateway) {
    let upstream = http(Eras::Both).await;
    let gateway = TestGateway::builder()
        .server("up", upstream.url())
        .parts(move |parts| parts.authenticators = authenticators.clone())
        .start()
        .await;
    (upstream, gateway)
}

fn login(name: &'static str, knows: &'static str, refuses: &'static str, asked: &Asked) -> Arc<dyn Authenticator> {
    Arc::new(Login {
        name,
        knows,
        refuses,
        asked: asked.clone(),
    })
}

async fn status(gateway: &TestGateway, token: &str) -> u16 {
    let client = gateway.client(ClientVersion::V2026_07_28).token(token);
    client.call_method("tools/list", "").await.status()
}

#[tokio::test]
async fn valid_caller_elsewhere_is_forbidden() {
    let upstream = http(Eras::Both).await;
    let mut some = grant("some", Subject::User(user("alice")));
    some.gateways = Some(vec![gateway_name("other")]);
    let gateway = TestGateway::builder()
        .server("up", upstream.url())
        .authenticator(StaticTokens::from_grants([some], Arc::new(SystemClock)))
        .published_as(["default", "other"])
        .start()
        .await;
    for version in ClientVersion::EACH_ERA {
        for verb in ["POST", "GET", "DELETE"] {
            let client = gateway.client(version).token("some");
            let refused = client.send(&client.call("1", "up__echo", "{}").verb(verb)).await;
            assert_eq!(refused.status(), 403, "{verb} {refused:?}");
            assert!(refused.head.get("www-authenticate").is_none(), "{verb} {refused:?}");
        }
        let mut client = gateway.client(version).token("some").gateway("other");
        client.handshake().await;
        assert!(!client.tools().await.is_empty());
    }
    assert_eq!(upstream.counters().calls, 0);
}

#[tokio::test]
async fn foreign_token_is_left_to_next_authenticator() {
    let asked = Asked::default();
    let next = login("jwt", "eyJ.known", "eyJ.bad", &asked);
    let (_upstream, gateway) = start(vec![Arc::new(tokens()), next]).await;
    assert_eq!(status(&gateway, "eyJ.known").await, 200);
    assert_eq!(status(&gateway, "eyJ.bad").await, 401);
    assert_eq!(status(&gateway, "eyJ.unknown").await, 401);
    let long = "x".repeat(4000);
    assert_eq!(status(&gateway, &long).await, 401);
    assert_eq!(std::mem::take(&mut *asked.lock().expect("no panic")), ["jwt"; 4]);
    // Its own tokens it answers for alone.
    assert_eq!(status(&gateway, "alice-token").await, 200);
    for own in ["ptl_unknown".to_owned(), format!("ptl_{long}")] {
        assert_eq!(status(&gateway, &own).await, 401);
    }
    assert!(
        asked.lock().expect("no panic").is_empty(),
        "it is not asked about these"
    );
}

#[tokio::test]
async fn own_unknown_token_is_refused_at_once() {
    let asked = Asked::default();
    // The next one would let it in.
    let next = login("any", "ptl_known", "", &asked);
    let (_upstream, gateway) = start(vec![Arc::new(tokens()), next.clone()]).await;
    let client = gateway.client(ClientVersion::V2026_07_28).token("ptl_known");
    let refused = client.call_method("tools/list", "").await;
    assert_eq!(refused.status(), 401, "{refused:?}");
    let challenges = refused.head.all("www-authenticate");
    assert!(challenges[0].contains(r#"error="invalid_token""#), "{challenges:?}");
    assert!(asked.lock().expect("no panic").is_empty());
    let (_upstream, gateway) = start(vec![next, Arc::new(tokens())]).await;
    assert_eq!(status(&gateway, "ptl_known").await, 200, "unless it is asked first");
}

#[tokio::test]
async fn unknown_bearer_token_is_invalid() {
    let asked = Asked::default();
    let both = || vec![login("a", "a", "", &asked), login("b", "b", "", &asked)];
    let (_upstream, gateway) = start(both()).await;
    let client = gateway.client(ClientVersion::V2026_07_28).token("c");
    let refused = client.call_method("tools/list", "").await;
    assert_eq!(refused.status(), 401, "{refused:?}");
    let challenges = refused.head.all("www-authenticate");
    assert_eq!(challenges.len(), 2, "one of each: {challenges:?}");
    for (challenge, name) in challenges.iter().zip(["a", "b"]) {
        assert!(
            challenge.starts_with(&format!(r#"Bearer realm="default {name}""#)),
            "{challenge}"
        );
        assert!(challenge.contains(r#"error="invalid_token""#), "{challenge}");
    }
    // Without a token there is nothing to call invalid (RFC 6750 3.1).
    let without = client.request("1", "tools/list", "", "").without("authorization");
    let refused = client.send(&without).await;
    assert_eq!(refused.status(), 401);
    for challenge in refused.head.all("www-authenticate") {
        assert!(!challenge.contains("error"), "{challenge}");
    }
    // Without authenticators nobody comes in.
    let (_upstream, gateway) = start(Vec::new()).await;
    assert_eq!(status(&gateway, "a").await, 401);
}

#[tokio::test]
async fn authenticators_are_asked_in_order() {
    let asked = Asked::default();
    let take = || std::mem::take(&mut *asked.lock().expect("no panic"));
    let (_upstream, gateway) = start(vec![
        login("first", "one", "bad", &asked),
        login("second", "two", "one", &asked),
        login("third", "bad", "two", &asked),
    ])
    .await;
    assert_eq!(
        status(&gateway, "one").await,
        200,
        "whom the first knows the second cannot refuse"
    );
    assert_eq!(take(), ["first"]);
    assert_eq!(status(&gateway, "two").await, 200);
    assert_eq!(take(), ["first", "second"]);
    assert_eq!(
        status(&gateway, "bad").await,
        401,
        "what the first refuses the third cannot let in"
    );
    assert_eq!(take(), ["first"]);
    assert_eq!(status(&gateway, "other").await, 401);
    assert_eq!(take(), ["first", "second", "third"]);
}
