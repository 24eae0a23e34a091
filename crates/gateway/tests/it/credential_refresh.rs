//! Credentials that a server refuses are refreshed, and the same call goes through.

mod failures;

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use futures_util::future::join_all;
use http::HeaderName;
use portolan_core::{
    Caller, CredentialBroker, CredentialContext, CredentialRefresh, CredentialRefusal, Install, Result, Secret,
    UpstreamCredential,
};
use portolan_fixtures::http::Fault;
use serde_json::{Value, json};

use crate::support::{
    client::ClientVersion,
    gateway::TestGateway,
    upstreams::{Eras, HttpFixture, http},
};

/// What a refusal leads to. It is told how often it was asked before.
type Refresh = dyn Fn(usize) -> Result<Option<Header>> + Send + Sync;
type Header = (&'static str, &'static str);

/// Where credentials come from: the first one is refused, the plan says what comes then.
struct RefreshPlan {
    now: Mutex<Header>,
    plan: Box<Refresh>,
    refusals: Mutex<Vec<CredentialRefusal>>,
    forgotten: AtomicUsize,
}

/// The broker, and the renewal of what it gives out.
#[derive(Clone, Debug)]
struct PlannedBroker(Arc<RefreshPlan>);

/// The renewal of one credential.
#[derive(Debug)]
struct PlannedRefresh {
    broker: PlannedBroker,
    refused: Header,
}

const LONG: Duration = Duration::from_secs(30);
const STALE: Header = ("authorization", "Bearer stale");
const FRESH: Header = ("authorization", "Bearer fresh");

impl PlannedBroker {
    fn new(plan: impl Fn(usize) -> Result<Option<Header>> + Send + Sync + 'static) -> Self {
        Self(Arc::new(RefreshPlan {
            now: Mutex::new(STALE),
            plan: Box::new(plan),
            refusals: Mutex::default(),
            forgotten: AtomicUsize::new(0),
        }))
    }

    fn outbound(&self, header: Header) -> Arc<UpstreamCredential> {
        let mut outbound = UpstreamCredential::none();
        let name = HeaderName::from_static(header.0);
        outbound.headers.push((name, Secret::new(header.1)));
        outbound.renewal = Some(Arc::new(PlannedRefresh {
            broker: self.clone(),
            refused: header,
        }));
        Arc::new(outbound)
    }

    fn now(&self) -> Header {
        *self.0.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn refusals(&self) -> Vec<CredentialRefusal> {
        self.0.refusals.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn gateway(&self, upstream: &HttpFixture) -> TestGateway {
        gateway(upstream, self.clone(), LONG).await
    }
}

#[async_trait]
impl CredentialBroker for PlannedBroker {
    async fn credential(&self, _: &CredentialContext<'_>) -> Result<Arc<UpstreamCredential>> {
        Ok(self.outbound(self.now()))
    }

    fn forget(&self, _: &Install, _: Option<&Caller>) {
        self.0.forgotten.fetch_add(1, Ordering::SeqCst);
    }
}

#[async_trait]
impl CredentialRefresh for PlannedRefresh {
    async fn renew(&self, refusal: &CredentialRefusal) -> Result<Option<Arc<UpstreamCredential>>> {
        let broker = &self.broker.0;
        let mut refusals = broker.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        let mut now = broker.now.lock().unwrap_or_else(PoisonError::into_inner);
        // Somebody else was refused the same before, and has got another one.
        if *now == self.refused {
            let asked = refusals.len();
            refusals.push(refusal.clone());
            match (broker.plan)(asked)? {
                Some(next) => *now = next,
                None => return Ok(None),
            }
        }
        Ok(Some(self.broker.outbound(*now)))
    }
}

impl fmt::Debug for RefreshPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RefreshPlan")
    }
}

/// A gateway with this broker in front of a server, which waits so long for an answer.
async fn gateway(upstream: &HttpFixture, broker: impl CredentialBroker + 'static, call: Duration) -> TestGateway {
    TestGateway::builder()
        .server("up", upstream.url())
        .config(|config| config.timeouts.call = call)
        .broker(broker)
        .start()
        .await
}

/// A server that takes this credential and no other.
async fn server_with_token(eras: Eras, header: Header) -> HttpFixture {
    let upstream = http(eras).await;
    let token = header.1.strip_prefix("Bearer ").expect("a bearer token").to_owned();
    upstream.behave(|behaviour| behaviour.bearer = Some(token));
    upstream
}

/// The cause of a failed call. A client never sees that somebody else's credential was refused.
#[track_caller]
fn cause(answer: &Value) -> String {
    let result = &answer["result"];
    assert_eq!(result["isError"], true, "{answer}");
    let cause = result["_meta"]["dev.portolan/failure"]["cause"].as_str();
    cause.unwrap_or_else(|| panic!("no cause: {answer}")).to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refused_call_retries_with_fresh_credential() {
    for eras in [Eras::Legacy, Eras::Modern, Eras::Both] {
        for version in ClientVersion::ALL {
            let what = format!("{eras:?} {version:?}");
            let upstream = server_with_token(eras, FRESH).await;
            let broker = PlannedBroker::new(|_| Ok(Some(FRESH)));
            let gateway = broker.gateway(&upstream).await;
            let client = gateway.connect(version).await;
            assert_eq!(client.text("up__count", json!({"key": "k"})).await, "1", "{what}");
            assert_eq!(client.text("up__count", json!({"key": "k"})).await, "2", "{what}");
            assert_eq!(upstream.count("k"), 2, "{what}");
            let refusals = broker.refusals();
            assert_eq!(refusals.len(), 1, "{what}");
            assert_eq!(refusals[0].url.as_str(), upstream.url(), "{what}");
            assert_eq!(refusals[0].status, 401, "{what}");
            assert_eq!(
                refusals[0].challenges,
                ["Bearer error=\"invalid_token\"".into()],
                "{what}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mid_session_refusal_is_refreshed() {
    for eras in [Eras::Legacy, Eras::Modern] {
        for version in ClientVersion::EACH_ERA {
            let what = format!("{eras:?} {version:?}");
            let upstream = server_with_token(eras, STALE).await;
            let broker = PlannedBroker::new(|_| Ok(Some(FRESH)));
            let gateway = broker.gateway(&upstream).await;
            let client = gateway.connect(version).await;
            assert_eq!(client.text("up__count", json!({"key": "k"})).await, "1", "{what}");
            upstream.behave(|behaviour| behaviour.bearer = Some("fresh".into()));
            upstream.clear_requests();
            assert_eq!(client.text("up__count", json!({"key": "k"})).await, "2", "{what}");
            let sent = upstream.requests_of("tools/call");
            let bodies: Vec<_> = sent.iter().map(|call| &call.body).collect();
            assert_eq!(bodies.len(), 2, "{what}");
            assert_eq!(bodies[0], bodies[1], "{what}: the same request");
            assert_eq!(sent[0].header("authorization"), Some("Bearer stale"), "{what}");
            assert_eq!(sent[1].header("authorization"), Some("Bearer fresh"), "{what}");
            assert_eq!(client.text("up__count", json!({"key": "k"})).await, "3", "{what}");
            assert_eq!(broker.refusals().len(), 1, "{what}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refused_headers_are_dropped() {
    let upstream = http(Eras::Modern).await;
    let broker = PlannedBroker::new(|_| Ok(Some(("x-key", "k"))));
    let gateway = broker.gateway(&upstream).await;
    let client = gateway.connect(ClientVersion::V2026_07_28).await;
    client.tools().await;
    upstream
        .fault(Fault::unauthorized("ApiKey"))
        .on("tools/call")
        .times(1)
        .arm();
    assert_eq!(client.text("up__echo", json!({"text": "x"})).await, "x");
    let sent = upstream.requests_of("tools/call");
    assert_eq!(sent[0].header("authorization"), Some("Bearer stale"));
    assert_eq!(sent[1].header("authorization"), None);
    assert_eq!(sent[1].header("x-key"), Some("k"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn insufficient_scope_steps_up() {
    const CHALLENGE: &str = r#"Bearer error="insufficient_scope", scope="files:write""#;
    for eras in [Eras::Legacy, Eras::Modern] {
        for version in ClientVersion::EACH_ERA {
            let what = format!("{eras:?} {version:?}");
            let upstream = http(eras).await;
            let broker = PlannedBroker::new(|_| Ok(Some(FRESH)));
            let gateway = broker.gateway(&upstream).await;
            let client = gateway.connect(version).await;
            client.tools().await;
            let forbidden = Fault::Status {
                status: 403,
                headers: vec![("www-authenticate".into(), CHALLENGE.into())],
                body: "more is needed".into(),
            };
            upstream.fault(forbidden).on("tools/call").times(1).arm();
            assert_eq!(client.text("up__count", json!({"key": "k"})).await, "1", "{what}");
            let refusals = broker.refusals();
            assert_eq!(refusals.len(), 1, "{what}");
            assert_eq!(refusals[0].status, 403, "{what}");
            assert_eq!(refusals[0].challenges, [CHALLENGE.into()], "{what}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refreshed_credential_refreshes_again() {
    let upstream = server_with_token(Eras::Both, ("authorization", "Bearer third")).await;
    let broker = PlannedBroker::new(|asked| Ok(Some(("authorization", ["Bearer second", "Bearer third"][asked]))));
    let gateway = broker.gateway(&upstream).await;
    let client = gateway.connect(ClientVersion::V2026_07_28).await;
    assert_eq!(client.text("up__count", json!({"key": "k"})).await, "1");
    assert_eq!(broker.refusals().len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_refusals_refresh_once() {
    for eras in [Eras::Legacy, Eras::Modern] {
        for version in ClientVersion::EACH_ERA {
            let what = format!("{eras:?} {version:?}");
            let upstream = server_with_token(eras, STALE).await;
            let broker = PlannedBroker::new(|_| Ok(Some(FRESH)));
            let gateway = broker.gateway(&upstream).await;
            let client = gateway.connect(version).await;
            client.text("up__echo", json!({"text": "warm"})).await;
            upstream.behave(|behaviour| behaviour.bearer = Some("fresh".into()));
            let calls = (0..32).map(|n| client.text("up__echo", json!({"text": n.to_string()})));
            let texts = join_all(calls).await;
            assert_eq!(texts, (0..32).map(|n| n.to_string()).collect::<Vec<_>>(), "{what}");
            assert_eq!(broker.refusals().len(), 1, "{what}: one credential was refused");
        }
    }
}
