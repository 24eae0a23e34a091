//! Refreshes that fail, and refusals that stay.

use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use async_trait::async_trait;
use portolan_core::{
    Caller, CredentialBroker, CredentialContext, CredentialRefresh, CredentialRefusal, Error, Failure, FailureKind,
    Install, Result, UpstreamCredential,
};
use portolan_fixtures::http::Fault;
use serde_json::json;

use super::{FRESH, LONG, PlannedBroker, STALE, cause, gateway, server_with_token};
use crate::support::{
    client::ClientVersion,
    upstreams::{Eras, http},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn final_refusal_is_tool_failure() {
    for eras in [Eras::Legacy, Eras::Modern] {
        let upstream = server_with_token(eras, FRESH).await;
        let broker = PlannedBroker::new(|_| Ok(None));
        let gateway = broker.gateway(&upstream).await;
        for version in ClientVersion::EACH_ERA {
            let what = format!("{eras:?} {version:?}");
            let client = gateway.connect(version).await;
            for post in [
                client.call("1", "up__echo", r#"{"text":"x"}"#),
                client.request("2", "tools/list", "", ""),
                client.request("3", "prompts/get", r#""name":"up__p""#, ""),
                client.request("4", "resources/read", r#""uri":"a://b""#, ""),
            ] {
                let answer = client.send(&post).await;
                let what = format!("{what}: {answer:?}");
                assert!(![401, 403].contains(&answer.status()), "{what}");
                assert_eq!(answer.head.get("www-authenticate"), None, "{what}");
                assert!(!String::from_utf8_lossy(&answer.body).contains("stale"), "{what}");
            }
            assert_eq!(
                cause(&client.tool("up__echo", json!({"text": "x"})).await),
                "credential",
                "{what}"
            );
        }
        assert_eq!(upstream.requests_of("tools/call").len(), 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn final_refusal_makes_broker_forget() {
    let upstream = server_with_token(Eras::Modern, STALE).await;
    let broker = PlannedBroker::new(|_| Ok(None));
    let gateway = broker.gateway(&upstream).await;
    let client = gateway.connect(ClientVersion::V2026_07_28).await;
    client.tools().await;
    upstream.behave(|behaviour| behaviour.bearer = Some("fresh".into()));
    let answer = client.tool("up__echo", json!({"text": "x"})).await;
    assert_eq!(cause(&answer), "credential");
    assert_eq!(upstream.requests_of("tools/call").len(), 1);
    assert_eq!(broker.0.forgotten.load(Ordering::SeqCst), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failed_refresh_fails_call() {
    let upstream = server_with_token(Eras::Modern, STALE).await;
    let broker = PlannedBroker::new(|asked| match asked {
        0 => Err(Error::NotReady {
            what: "server",
            name: "up".into(),
            failure: Failure::new(FailureKind::Credential, "its authorization server is closed")
                .remedy("sign in again"),
        }),
        _ => Ok(Some(FRESH)),
    });
    let gateway = broker.gateway(&upstream).await;
    let client = gateway.connect(ClientVersion::V2026_07_28).await;
    client.tools().await;
    upstream.behave(|behaviour| behaviour.bearer = Some("fresh".into()));
    let answer = client.tool("up__count", json!({"key": "k"})).await;
    assert_eq!(cause(&answer), "credential");
    let text = answer["result"]["content"][0]["text"].as_str().expect("a text");
    assert!(
        text.contains("its authorization server is closed") && text.contains("sign in again"),
        "{text}"
    );
    assert_eq!(client.text("up__count", json!({"key": "k"})).await, "1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refresh_attempts_are_bounded() {
    let upstream = http(Eras::Modern).await;
    let tokens = [
        "Bearer a", "Bearer b", "Bearer c", "Bearer d", "Bearer e", "Bearer f", "Bearer g",
    ];
    let broker = PlannedBroker::new(move |asked| Ok(Some(("authorization", tokens[asked % tokens.len()]))));
    let gateway = broker.gateway(&upstream).await;
    for version in ClientVersion::EACH_ERA {
        let client = gateway.connect(version).await;
        client.tools().await;
        upstream.clear_requests();
        let before = broker.refusals().len();
        upstream.fault(Fault::unauthorized("Bearer")).on("tools/call").arm();
        let answer = client.tool("up__echo", json!({"text": "x"})).await;
        assert_eq!(cause(&answer), "credential");
        assert_eq!(broker.refusals().len() - before, 4);
        assert_eq!(upstream.requests_of("tools/call").len(), 5);
        upstream.heal();
        assert_eq!(client.text("up__echo", json!({"text": "on"})).await, "on");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn excess_challenges_are_omitted() {
    let upstream = http(Eras::Modern).await;
    let broker = PlannedBroker::new(|_| Ok(Some(FRESH)));
    let gateway = broker.gateway(&upstream).await;
    let client = gateway.connect(ClientVersion::V2026_07_28).await;
    client.tools().await;
    let challenge = |text: String| ("www-authenticate".to_owned(), text);
    let long = challenge(format!("Bearer realm=\"{}\"", "x".repeat(5000)));
    let headers = (0..20).map(|n| challenge(format!("Scheme{n}")));
    let refusal = Fault::Status {
        status: 401,
        headers: [long].into_iter().chain(headers).collect(),
        body: String::new(),
    };
    upstream.fault(refusal).on("tools/call").times(1).arm();
    assert_eq!(client.text("up__echo", json!({"text": "x"})).await, "x");
    let challenges = &broker.refusals()[0].challenges;
    assert!(!challenges.is_empty() && challenges.len() <= 8, "{challenges:?}");
    assert!(
        challenges.iter().all(|challenge| challenge.starts_with("Scheme")),
        "{challenges:?}"
    );
}

/// Gives something else, which cannot be renewed again.
#[derive(Debug, Default)]
struct RefreshOnce(AtomicUsize);

#[derive(Debug)]
struct OnceBroker(Arc<RefreshOnce>);

#[async_trait]
impl CredentialBroker for OnceBroker {
    async fn credential(&self, _: &CredentialContext<'_>) -> Result<Arc<UpstreamCredential>> {
        let mut outbound = UpstreamCredential::none();
        outbound.renewal = Some(self.0.clone());
        Ok(Arc::new(outbound))
    }

    fn forget(&self, _: &Install, _: Option<&Caller>) {}
}

#[async_trait]
impl CredentialRefresh for RefreshOnce {
    async fn renew(&self, _: &CredentialRefusal) -> Result<Option<Arc<UpstreamCredential>>> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Ok(Some(Arc::new(UpstreamCredential::none())))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn credential_without_refresh_fails() {
    let upstream = http(Eras::Modern).await;
    let once = Arc::<RefreshOnce>::default();
    let gateway = gateway(&upstream, OnceBroker(once.clone()), LONG).await;
    let client = gateway.connect(ClientVersion::V2026_07_28).await;
    client.tools().await;
    upstream.fault(Fault::unauthorized("Bearer")).on("tools/call").arm();
    let answer = client.tool("up__echo", json!({"text": "x"})).await;
    assert_eq!(cause(&answer), "credential");
    assert_eq!(once.0.load(Ordering::SeqCst), 1);
    assert_eq!(upstream.requests_of("tools/call").len(), 2);
}

/// A broker whose renewals hang.
#[derive(Debug)]
struct HangingBroker;

#[async_trait]
impl CredentialBroker for HangingBroker {
    async fn credential(&self, _: &CredentialContext<'_>) -> Result<Arc<UpstreamCredential>> {
        let mut outbound = UpstreamCredential::none();
        outbound.renewal = Some(Arc::new(Self));
        Ok(Arc::new(outbound))
    }

    fn forget(&self, _: &Install, _: Option<&Caller>) {}
}

#[async_trait]
impl CredentialRefresh for HangingBroker {
    async fn renew(&self, _: &CredentialRefusal) -> Result<Option<Arc<UpstreamCredential>>> {
        pending().await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hanging_refresh_times_out() {
    let upstream = http(Eras::Modern).await;
    let gateway = gateway(&upstream, HangingBroker, Duration::from_millis(300)).await;
    let client = gateway.connect(ClientVersion::V2026_07_28).await;
    client.tools().await;
    upstream.fault(Fault::unauthorized("Bearer")).on("tools/call").arm();
    let begun = Instant::now();
    let answer = client.tool("up__echo", json!({"text": "x"})).await;
    assert_eq!(answer["result"]["isError"], true, "{answer}");
    assert!(begun.elapsed() < Duration::from_secs(5));
}
