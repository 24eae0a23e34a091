//! What the record of an answered call says.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use portolan_core::{AuditAction, AuditEvent, AuditOutcome, AuditSink};
use portolan_gateway::digest;
use serde_json::json;

use super::{TRACE_ID, TRACE_PARENT, is_request_id};
use crate::support::{
    audit::AuditLog,
    client::{Client, ClientVersion},
    gateway::TestGateway,
    upstreams::{Eras, http},
};

const CLIENT_INFO: &str = r#""io.modelcontextprotocol/clientInfo":{"name":"inspector","version":"1"}"#;

#[tokio::test]
async fn record_has_request_trace_and_token() {
    let upstream = http(Eras::Both).await;
    let audit = AuditLog::new();
    let gateway = TestGateway::builder()
        .server("up", upstream.url())
        .audit(audit.clone())
        .start()
        .await;
    for version in ClientVersion::EACH_ERA {
        let client = gateway.connect(version).await;
        let call = client.call("1", "up__echo", r#"{"text":"x"}"#);
        client.send(&call.clone().and("traceparent", TRACE_PARENT)).await;
        let traced = audit.take_call();
        is_request_id(traced.request_id.as_deref());
        assert_eq!(traced.trace_id.as_deref(), Some(TRACE_ID));
        assert_eq!(traced.token_id, Some(digest("alice-token").to_string()));
        assert_eq!(
            (&*traced.subject, &*traced.server, &*traced.what),
            ("user:alice", "up", "echo")
        );
        assert_eq!(
            (traced.action, traced.outcome),
            (AuditAction::CallTool, AuditOutcome::Answered)
        );
        assert!(traced.has_install);
        let nonsense = call.and("traceparent", "nonsense");
        let answer = client.send(&nonsense).await;
        let untraced = audit.take_call();
        assert_eq!(untraced.trace_id, None, "{answer:?}");
        assert_ne!(untraced.request_id, traced.request_id, "each request has its own");
    }
}

#[tokio::test]
async fn record_names_client_software() {
    let upstream = http(Eras::Both).await;
    let audit = AuditLog::new();
    let [gateway, other] = TestGateway::builder()
        .server("up", upstream.url())
        .audit(audit.clone())
        .start_replicas()
        .await;
    let name_of_call = async |client: &Client, meta: &str| {
        client
            .send(&client.call_with("1", "up__echo", r#"{"text":"x"}"#, meta))
            .await;
        audit.take_call().client
    };
    let modern = gateway.connect(ClientVersion::V2026_07_28).await;
    assert_eq!(name_of_call(&modern, CLIENT_INFO).await.as_deref(), Some("inspector"));
    assert_eq!(name_of_call(&modern, "").await, None);
    let long = CLIENT_INFO.replace("inspector", &"ü".repeat(1000));
    assert_eq!(
        name_of_call(&modern, &long).await,
        Some("ü".repeat(64)),
        "it is bounded"
    );
    let odd = CLIENT_INFO.replace(r#""inspector""#, "[]");
    assert_eq!(name_of_call(&modern, &odd).await, None);
    // A legacy client states its name once.
    let legacy = gateway.connect(ClientVersion::V2025_11_25).await;
    assert_eq!(name_of_call(&legacy, "").await.as_deref(), Some("t"));
    let elsewhere = legacy.at(other.address);
    assert_eq!(
        name_of_call(&elsewhere, "").await,
        None,
        "only where it opened its session"
    );
    let text = legacy.text("up__echo", json!({"text": "y"})).await;
    assert_eq!((text.as_str(), audit.take_call().client.as_deref()), ("y", Some("t")));
}

/// A sink that takes no records of calls, and counts those that it gets.
#[derive(Debug, Default)]
struct ClosedSink(AtomicUsize);

impl AuditSink for ClosedSink {
    fn record(&self, _: &AuditEvent<'_>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn takes_records(&self) -> bool {
        false
    }
}

#[tokio::test]
async fn closed_sink_gets_no_record() {
    let upstream = http(Eras::Both).await;
    let sink = Arc::new(ClosedSink::default());
    let gateway = TestGateway::builder()
        .server("up", upstream.url())
        .audit(sink.clone())
        .start()
        .await;
    for version in ClientVersion::EACH_ERA {
        let client = gateway.connect(version).await;
        assert_eq!(client.text("up__echo", json!({"text": "x"})).await, "x");
    }
    assert_eq!(sink.0.load(Ordering::Relaxed), 0);
}
