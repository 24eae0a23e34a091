use std::sync::Arc;

use super::*;
use crate::{GatewayName, PromptUse, ServerName, Subject};

/// A guard that answers, fails or hangs as it is told.
#[derive(Debug)]
struct Scripted {
    answer: Option<Result<GuardDecision>>,
    mode: FailMode,
    needs_result: bool,
}

#[async_trait]
impl Guard for Scripted {
    fn name(&self) -> &str {
        "scripted"
    }

    async fn before(&self, _: &GuardContext<'_>, _: &Bytes) -> Result<GuardDecision> {
        match &self.answer {
            Some(answer) => answer.clone(),
            None => std::future::pending().await,
        }
    }

    async fn after(&self, context: &GuardContext<'_>, result: &Bytes) -> Result<GuardDecision> {
        self.before(context, result).await
    }

    fn needs_result(&self) -> bool {
        self.needs_result
    }

    fn fail_mode(&self) -> FailMode {
        self.mode
    }
}

async fn run(answer: Option<Result<GuardDecision>>, mode: FailMode, needs_result: bool) -> [GuardDecision; 2] {
    let guard: Arc<dyn Guard> = Arc::new(Scripted {
        answer,
        mode,
        needs_result,
    });
    let gateway = GatewayName::parse("default").expect("a name");
    let server = ServerName::parse("docs").expect("a name");
    let caller = Caller::new(Subject::Org, "token");
    let used = PromptUse::new(&gateway, &server, "summary");
    let context = GuardContext::new(&caller, Action::GetPrompt(&used));
    let json = Bytes::from_static(b"{}");
    [
        guard.check_arguments(&context, &json).await,
        guard.check_result(&context, &json).await,
    ]
}

fn refused(decision: &GuardDecision) -> bool {
    decision.reason() == Some("guard \"scripted\" cannot check this now")
}

#[tokio::test(start_paused = true)]
async fn timeout_follows_fail_mode() {
    let closed = run(None, FailMode::Closed, true).await;
    assert!(closed.iter().all(refused), "{closed:?}");
    assert_eq!(
        run(None, FailMode::Open, true).await,
        [GuardDecision::Pass, GuardDecision::Pass]
    );
}

#[tokio::test]
async fn error_follows_fail_mode() {
    let fails = || Some(Err(Error::unavailable("the scanner", "it is down")));
    let closed = run(fails(), FailMode::Closed, true).await;
    assert!(closed.iter().all(refused), "{closed:?}");
    assert_eq!(
        run(fails(), FailMode::Open, true).await,
        [GuardDecision::Pass, GuardDecision::Pass]
    );
}

#[tokio::test]
async fn result_is_checked_on_demand() {
    let refuse = GuardDecision::refuse("no");
    let both = run(Some(Ok(refuse.clone())), FailMode::Closed, true).await;
    assert_eq!(both, [refuse.clone(), refuse.clone()]);
    let first = run(Some(Ok(refuse.clone())), FailMode::Closed, false).await;
    assert_eq!(first, [refuse, GuardDecision::Pass]);
}

#[tokio::test]
async fn replacement_must_be_an_object() {
    for bad in ["", "[]", "1", "{", "{} {}", "null"] {
        let replaced = Some(Ok(GuardDecision::Replace(Bytes::from_static(bad.as_bytes()))));
        let decisions = run(replaced, FailMode::Closed, true).await;
        assert!(decisions.iter().all(refused), "{bad}: {decisions:?}");
    }
    let good = GuardDecision::Replace(Bytes::from_static(br#"{"a":1}"#));
    let decisions = run(Some(Ok(good.clone())), FailMode::Closed, true).await;
    assert_eq!(decisions, [good.clone(), good]);
}
