//! Cases of [`AuditSink`]. What a sink keeps is for its own tests.

#![expect(clippy::unused_async, reason = "all cases are futures, for the suites")]

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{race, sample};
use crate::{
    AuditAction, AuditEvent, AuditOutcome, AuditSink, AuthErrorKind, AuthFailed, DefinitionChange, Subject, UserId,
};

/// The sink under test.
pub type Backend = Arc<dyn AuditSink>;

/// Every outcome of every kind of request is taken.
pub async fn every_outcome_is_taken(sink: Backend) {
    for outcome in outcomes() {
        for action in [
            AuditAction::CallTool,
            AuditAction::GetPrompt,
            AuditAction::ReadResource,
            AuditAction::Other,
        ] {
            record(&sink, "now", outcome.clone(), action);
        }
    }
}

/// Every reason of a failed login is taken.
pub async fn every_failed_login_is_taken(sink: Backend) {
    let gateway = sample::gateway_name("default");
    for reason in [
        AuthErrorKind::Missing,
        AuthErrorKind::Invalid,
        AuthErrorKind::Expired,
        AuthErrorKind::Forbidden,
        AuthErrorKind::InsufficientScope,
        AuthErrorKind::Unavailable,
    ] {
        let event = AuthFailed::new(sample::time(0), &gateway, reason);
        sink.auth_failed(&event);
        sink.auth_failed(
            &event
                .with_subject(&Subject::Org)
                .with_request_id("1")
                .with_token_id("t"),
        );
    }
}

/// A changed definition is taken.
pub async fn definition_change_is_taken(sink: Backend) {
    let server = sample::server_name("time");
    sink.definition_changed(&DefinitionChange::new(&server, "now", "ab12", "cd34"));
}

/// Text from servers and clients may be of any kind.
pub async fn any_text_is_taken(sink: Backend) {
    for text in ["", "a\nb", "\0", "caf\u{e9} \u{2615}", "\"'\\", &"x".repeat(100_000)] {
        let outcome = AuditOutcome::Denied {
            reason: Some(text.to_owned().into()),
        };
        record(&sink, text, outcome, AuditAction::CallTool);
    }
}

/// No method waits: 10,000 records of each kind take less than ten seconds.
pub async fn records_are_taken_at_once(sink: Backend) {
    let gateway = sample::gateway_name("default");
    let since = Instant::now();
    for _ in 0..10_000 {
        record(&sink, "now", AuditOutcome::Answered, AuditAction::CallTool);
        sink.auth_failed(&AuthFailed::new(sample::time(0), &gateway, AuthErrorKind::Invalid));
    }
    assert!(since.elapsed() < Duration::from_secs(10), "{:?}", since.elapsed());
}

/// Records come from many threads.
pub async fn racing_records_are_taken(sink: Backend) {
    race((0..8).map(|_| {
        let sink = sink.clone();
        async move {
            for outcome in outcomes() {
                record(&sink, "now", outcome, AuditAction::CallTool);
            }
        }
    }))
    .await;
}

fn outcomes() -> [AuditOutcome; 5] {
    [
        AuditOutcome::Answered,
        AuditOutcome::Failed,
        AuditOutcome::Cancelled,
        AuditOutcome::Denied { reason: None },
        AuditOutcome::Denied {
            reason: Some("not today".into()),
        },
    ]
}

fn record(sink: &Backend, tool: &str, outcome: AuditOutcome, action: AuditAction) {
    let (gateway, server) = (sample::gateway_name("default"), sample::server_name("time"));
    let alice = Subject::User(UserId::parse("alice").expect("a user"));
    let mut event = AuditEvent::new(sample::time(0), &gateway, &alice, &server, tool, outcome)
        .with_client(tool)
        .with_request_id("01890a5d")
        .with_trace_id("4bf92f3577b34da6a3ce929d0e0e4736")
        .with_token_id("b5bb9d80");
    (event.action, event.install) = (action, Some(sample::install_name(1)));
    sink.record(&event);
}
