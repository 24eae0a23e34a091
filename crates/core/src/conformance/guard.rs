//! Cases of [`Guard`]. What a guard finds is for its own tests.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use serde_json::value::RawValue;

use super::{race, sample};
use crate::{Action, Caller, Guard, GuardContext, GuardDecision, Result, Subject, ToolUse};

/// The guard under test.
pub type Backend = Arc<dyn Guard>;

/// A guard has a name of printable characters, always the same.
pub async fn name_is_constant_text(guard: Backend) {
    let name = guard.name().to_owned();
    assert!(!name.is_empty() && !name.chars().any(char::is_control), "{name:?}");
    decide(&guard, Bytes::from_static(b"{}")).await.ok();
    assert_eq!(guard.name(), name);
}

/// Any arguments get a decision within the guard's timeout.
pub async fn any_arguments_get_a_decision(guard: Backend) {
    for arguments in samples() {
        let deciding = decide(&guard, arguments.clone());
        let decided = tokio::time::timeout(guard.timeout(), deciding).await;
        decided.expect("a decision within the guard's timeout").ok();
    }
}

/// A replacement of an object is an object.
pub async fn replacement_is_an_object(guard: Backend) {
    for json in samples() {
        let decided = [decide(&guard, json.clone()).await, decide_on_result(&guard, json).await];
        for decision in decided.into_iter().flatten() {
            if let GuardDecision::Replace(json) = decision {
                let raw: &RawValue = serde_json::from_slice(&json).expect("JSON");
                assert!(raw.get().starts_with('{'), "{raw}");
            }
        }
    }
}

/// The need of results is constant, and a guard without it passes every result.
pub async fn need_of_results_is_constant(guard: Backend) {
    let needs = guard.needs_result();
    for json in samples() {
        decide(&guard, json.clone()).await.ok();
        if !needs {
            let decision = with_context(async |context| guard.check_result(&context, &json).await).await;
            assert_eq!(decision, GuardDecision::Pass);
        }
        assert_eq!(guard.needs_result(), needs);
    }
}

/// A decision that is given up at its first `await` leaves the guard in order.
pub async fn dropped_decision_disturbs_nothing(guard: Backend) {
    for _ in 0..16 {
        let _ = decide(&guard, Bytes::from_static(b"{}")).now_or_never();
        let _ = decide_on_result(&guard, Bytes::from_static(b"{}")).now_or_never();
    }
    let decided = tokio::time::timeout(guard.timeout(), decide(&guard, Bytes::from_static(b"{}"))).await;
    decided.expect("a decision within the guard's timeout").ok();
}

/// Calls at the same time all get a decision.
pub async fn racing_calls_get_decisions(guard: Backend) {
    let decided = race((0..16).map(|_| {
        let guard = guard.clone();
        async move {
            let check =
                async |context: GuardContext<'_>| guard.check_arguments(&context, &Bytes::from_static(b"{}")).await;
            with_context(check).await
        }
    }))
    .await;
    assert_eq!(decided.len(), 16);
}

/// No reason and no error shows the arguments.
pub async fn arguments_do_not_show(guard: Backend) {
    let arguments = Bytes::from_static(br#"{"password":"hunter2hunter2"}"#);
    let shown = match decide(&guard, arguments).await {
        Ok(decision) => decision.reason().unwrap_or_default().to_owned(),
        Err(error) => format!("{error} {error:?}"),
    };
    assert!(!shown.contains("hunter2"), "arguments show");
    assert!(!format!("{guard:?}").contains("hunter2"), "arguments show");
}

fn samples() -> Vec<Bytes> {
    let long = format!(r#"{{"text":"{}"}}"#, "x".repeat(100_000));
    let deep = format!(r#"{{"a":{}1{}}}"#, "[".repeat(60), "]".repeat(60));
    let plain = [
        "{}",
        r#"{"a":1,"a":2}"#,
        r#"{ "n":1.50e3, "caf\u00e9":"☕" }"#,
        r#"{"content":[{"type":"text","text":"x"}]}"#,
    ];
    let mut samples: Vec<_> = plain.iter().map(|text| Bytes::from_static(text.as_bytes())).collect();
    samples.extend([Bytes::from(long), Bytes::from(deep)]);
    samples
}

async fn decide(guard: &Backend, arguments: Bytes) -> Result<GuardDecision> {
    with_context(async |context| guard.before(&context, &arguments).await).await
}

async fn decide_on_result(guard: &Backend, result: Bytes) -> Result<GuardDecision> {
    with_context(async |context| guard.after(&context, &result).await).await
}

async fn with_context<T>(check: impl AsyncFnOnce(GuardContext<'_>) -> T) -> T {
    let (gateway, server) = (sample::gateway_name("default"), sample::server_name("time"));
    let (tool, caller) = (sample::tool(r#"{"name":"now"}"#), Caller::new(Subject::Org, "token"));
    let used = ToolUse::new(&gateway, &server, &tool);
    check(GuardContext::new(&caller, Action::UseTool(&used)).with_request_id("1")).await
}
