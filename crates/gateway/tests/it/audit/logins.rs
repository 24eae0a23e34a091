//! Failed logins: one record with its kind.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use http::request::Parts;
use portolan_core::{
    AuthError, AuthErrorKind, Authenticator, Caller, Challenge, Clock, Error, GatewayName, Scope, Subject, SystemClock,
};
use portolan_gateway::{StaticTokens, digest};

use super::{TRACE_ID, TRACE_PARENT, is_request_id};
use crate::support::{
    audit::AuditLog,
    client::ClientVersion,
    gateway::{TestGateway, gateway_name, grant, user},
    upstreams::{Eras, http},
};

/// Cannot check the token `sick`, and finds that `narrow` lacks a scope.
#[derive(Debug)]
struct Faulty;

#[async_trait]
impl Authenticator for Faulty {
    async fn authenticate(&self, _: &GatewayName, request: &Parts) -> Result<Option<Arc<Caller>>, AuthError> {
        let value = request.headers.get("authorization").map(http::HeaderValue::as_bytes);
        match value {
            Some(b"Bearer sick") => Err(AuthError::Unavailable(Error::invalid("idp", "is down"))),
            Some(b"Bearer narrow") => Err(AuthError::InsufficientScope {
                scopes: vec![Scope::parse("mcp:tools").expect("a scope")],
            }),
            _ => Ok(None),
        }
    }

    fn challenge(&self, _: &GatewayName) -> Option<Challenge> {
        None
    }
}

fn tokens() -> StaticTokens {
    let mut elsewhere = grant("elsewhere", Subject::User(user("alice")));
    elsewhere.gateways = Some(vec![gateway_name("other")]);
    let mut expired = grant("expired", Subject::User(user("alice")));
    expired.expires = Some(SystemClock.now() - Duration::from_secs(1));
    let good = grant("good", Subject::User(user("alice")));
    StaticTokens::from_grants([elsewhere, expired, good], Arc::new(SystemClock))
}

#[tokio::test]
async fn failed_login_is_recorded_once() {
    let upstream = http(Eras::Both).await;
    let audit = AuditLog::new();
    let gateway = TestGateway::builder()
        .server("up", upstream.url())
        .audit(audit.clone())
        .parts(|parts| parts.authenticators = vec![Arc::new(Faulty), Arc::new(tokens())])
        .published_as(["default", "other"])
        .start()
        .await;
    let client = gateway.client(ClientVersion::V2026_07_28);
    let call = client.call("1", "up__echo", "{}").and("traceparent", TRACE_PARENT);
    let kinds = [
        (None, AuthErrorKind::Missing, 401),
        (Some("Basic eA=="), AuthErrorKind::Missing, 401),
        (Some("Bearer wrong"), AuthErrorKind::Invalid, 401),
        (Some("Bearer ptl_wrong"), AuthErrorKind::Invalid, 401),
        (Some("Bearer expired"), AuthErrorKind::Expired, 401),
        (Some("Bearer elsewhere"), AuthErrorKind::Forbidden, 403),
        (Some("Bearer narrow"), AuthErrorKind::InsufficientScope, 403),
        (Some("Bearer sick"), AuthErrorKind::Unavailable, 503),
    ];
    let mut ids = Vec::new();
    for (credential, kind, status) in kinds {
        for verb in ["POST", "GET", "DELETE"] {
            let what = format!("{verb} {credential:?}");
            let request = match credential {
                Some(credential) => call.clone().with("authorization", credential),
                None => call.clone().without("authorization"),
            };
            assert_eq!(client.send(&request.verb(verb)).await.status(), status, "{what}");
            let record = audit.take_login();
            assert_eq!((&*record.gateway, record.reason), ("default", kind), "{what}");
            assert_eq!(record.trace_id.as_deref(), Some(TRACE_ID), "{what}");
            is_request_id(record.request_id.as_deref());
            let known = (kind == AuthErrorKind::Forbidden).then(|| "user:alice".to_owned());
            assert_eq!(record.token_id.is_some(), known.is_some(), "{what}");
            assert_eq!(record.subject, known, "{what}");
            if let Some(id) = record.token_id {
                assert_eq!(id, digest("elsewhere").to_string());
            }
            ids.push(record.request_id);
        }
    }
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 3 * kinds.len(), "each request has its own id");
    // Where the same token admits, nothing is recorded.
    let other = gateway
        .client(ClientVersion::V2026_07_28)
        .gateway("other")
        .token("elsewhere");
    assert_eq!(other.call_method("tools/list", "").await.status(), 200);
    assert_eq!(audit.take_logins(), []);
    assert_eq!(upstream.counters().calls, 0);
}

#[tokio::test]
async fn login_at_unknown_gateway_is_recorded() {
    let audit = AuditLog::new();
    let gateway = TestGateway::builder().unpublished().audit(audit.clone()).start().await;
    let client = gateway.client(ClientVersion::V2026_07_28).gateway("nowhere");
    assert_eq!(client.call_method("tools/list", "").await.status(), 404);
    assert_eq!(audit.take_logins(), []);
    assert_eq!(client.token("wrong").call_method("tools/list", "").await.status(), 401);
    let record = audit.take_login();
    assert_eq!((&*record.gateway, record.reason), ("nowhere", AuthErrorKind::Invalid));
}
