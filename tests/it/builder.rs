//! What a builder replaces, and what it leaves.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use http::request::Parts;
use portolan::{
    AuditEvent, AuditSink, AuthError, Authenticator, Caller, Challenge, Error, GatewayName, Owner, Platform, Secret,
    Selection, Subject, UserId, core::memory,
};
use serde_json::json;

use crate::support::{Place, ask, listen, stdio};

/// Knows the users of the host by a header.
#[derive(Debug)]
struct Login;

#[async_trait]
impl Authenticator for Login {
    async fn authenticate(&self, _: &GatewayName, request: &Parts) -> Result<Option<Arc<Caller>>, AuthError> {
        let Some(user) = request.headers.get("x-user").and_then(|user| user.to_str().ok()) else {
            return Ok(None);
        };
        let user = UserId::parse(user).map_err(|_| AuthError::Invalid)?;
        Ok(Some(Arc::new(Caller::new(Subject::User(user), "login"))))
    }

    fn challenge(&self, _: &GatewayName) -> Option<Challenge> {
        None
    }
}

#[derive(Clone, Debug, Default)]
struct Seen(Arc<Mutex<Vec<String>>>);

impl AuditSink for Seen {
    fn record(&self, event: &AuditEvent<'_>) {
        self.0.lock().expect("unpoisoned").push(format!("{event:?}"));
    }
}

#[tokio::test]
async fn own_login_and_tokens_both_open() {
    let place = Place::new();
    let seen = Seen::default();
    let platform = Platform::builder(place.database())
        .authenticator(Login)
        .audit(seen.clone())
        .build()
        .await
        .expect("a platform");
    let server = platform.ensure(stdio("demo")).await.expect("a server");
    platform.install(&server, Owner::Org).await.expect("an install");
    let gateway = platform
        .gateway("default")
        .select(Selection::All)
        .await
        .expect("a gateway");
    let token = platform.issue_token(&gateway, Owner::Org).await.expect("a token");
    let (address, _serving) = listen(platform.router(), std::future::pending()).await;
    let url = format!("{address}/mcp/default");

    let arguments = json!({"name": "demo__greet", "arguments": {"name": "x"}});
    let (status, answer) = ask(&url, &token, "tools/call", arguments).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(
        seen.0.lock().expect("unpoisoned").len(),
        1,
        "the sink is told of the call"
    );
    let wrong = Secret::new("ptl_wrong");
    assert_eq!(ask(&url, &wrong, "tools/list", json!({})).await.0, 401);
    let head = http::Request::post(&url)
        .header("x-user", "alice")
        .body(())
        .expect("a request");
    let caller = Login.authenticate(&gateway, &head.into_parts().0).await.expect("known");
    assert!(caller.is_some());
}

#[tokio::test]
async fn stores_that_are_replaced_need_no_database() {
    let place = Place::new();
    let platform = Platform::builder(place.database())
        .registry(Arc::new(memory::MemoryRegistry::new()))
        .credentials(Arc::new(memory::MemoryCredentials::new()))
        .sessions(Arc::new(memory::MemorySessions::new()))
        .build()
        .await
        .expect("a platform");
    platform.ensure(stdio("demo")).await.expect("a server");
    assert!(!place.database().exists());
}

#[tokio::test]
async fn token_keys_survive_a_restart() {
    let place = Place::new();
    let read = || std::fs::read_to_string(place.database().with_file_name("app.db.token-keys")).expect("keys");
    drop(place.platform().await);
    let keys = read();
    drop(place.platform().await);
    assert_eq!(read(), keys);
    assert_eq!(keys.trim().len(), 64);
}

#[test]
fn building_outside_of_tokio_is_refused() {
    let place = Place::new();
    let built = futures_util::FutureExt::now_or_never(Platform::builder(place.database()).build());
    let error = built.expect("at once").expect_err("refused");
    assert!(matches!(error, Error::Invalid { .. }), "{error:?}");
    assert!(error.to_string().contains("within a tokio runtime"), "{error}");
}
