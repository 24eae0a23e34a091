//! Errors of the API server.

use std::time::Duration;

use http::Method;
use portolan_core::{Error, FailureKind, Runtime, Status};
use serde_json::json;
use tokio::time::sleep;

use crate::{
    mock_api::{Answer, MockApi, Rule, name, spec},
    wait::{eventually, wait_for_status},
};

const TIMEOUT: Duration = Duration::from_secs(15);

/// How long nothing may happen for a test to conclude that nothing will.
const QUIET: Duration = Duration::from_millis(600);

fn refuse(method: Method, path: &'static str, times: Option<usize>, code: u16, message: &str) -> Rule {
    Rule {
        method,
        path,
        watch: false,
        times,
        answer: Answer::Refuse(
            code,
            json!({ "message": message, "details": { "retryAfterSeconds": 0 } }),
        ),
    }
}

fn watch(path: &'static str, times: Option<usize>, answer: Answer) -> Rule {
    Rule {
        method: Method::GET,
        path,
        watch: true,
        times,
        answer,
    }
}

/// Waits until the Deployment was written `at_least` times, and returns how often it was.
async fn writes(mock: &MockApi, at_least: usize) -> usize {
    let tries = || {
        mock.calls("PATCH /apis/apps/v1/namespaces/mcp-servers/deployments/")
            .len()
    };
    eventually("the deployment is written", TIMEOUT, async || {
        (tries() >= at_least).then_some(())
    })
    .await;
    sleep(QUIET).await;
    tries()
}

#[tokio::test]
async fn deployment_is_applied_last() {
    let mock = MockApi::new([]);
    let runtime = mock.runtime();
    runtime.ensure(&name(), &spec()).await.expect("ensure");
    assert_eq!(writes(&mock, 1).await, 1);
    let calls = mock.calls("PATCH");
    assert_eq!(calls.len(), 4, "{calls:?}");
    assert!(calls[3].contains("/deployments/"), "{calls:?}");
}

#[tokio::test]
async fn expired_token_names_the_cluster() {
    let mock = MockApi::new([refuse(Method::GET, "/", None, 401, "Unauthorized")]);
    let runtime = mock.runtime();
    let error = runtime.list().await.expect_err("unauthorized");
    assert!(matches!(error, Error::Unavailable { .. }) && error.is_retryable());
    assert!(
        error
            .report()
            .to_string()
            .contains("the given client answers \"Unauthorized\""),
        "{error:?}"
    );
    let name = name();
    runtime.ensure(&name, &spec()).await.expect("the wish is recorded");
    wait_for_status(
        &runtime,
        &name,
        TIMEOUT,
        |status| matches!(status, Status::Pending { cause: Some(cause) } if cause.contains("Unauthorized")),
    )
    .await;
    assert!(
        mock.calls("PATCH").is_empty(),
        "nothing is written over what is not known"
    );
}

#[tokio::test]
async fn missing_permission_is_named() {
    let message = "deployments.apps \"a\" is forbidden: User \"system:serviceaccount:host:portolan\" cannot patch resource \
                   \"deployments\" in API group \"apps\" in the namespace \"mcp-servers\"";
    let mock = MockApi::new([refuse(Method::PATCH, "/deployments/", None, 403, message)]);
    let runtime = mock.runtime();
    let name = name();
    runtime.ensure(&name, &spec()).await.expect("ensure");
    let status = wait_for_status(&runtime, &name, TIMEOUT, |status| {
        matches!(status, Status::Failed { .. })
    })
    .await;
    let Status::Failed { failure } = status else {
        unreachable!("it is what was waited for")
    };
    assert_eq!(failure.kind, FailureKind::Config);
    assert_eq!(
        failure.message,
        "forbidden: the service account \"portolan\" may not \"patch\" \"deployments\" in \"mcp-servers\"; \
         deploy/rbac.yaml has the rule"
    );
    sleep(Duration::from_secs(3)).await;
    let tries = writes(&mock, 1).await;
    assert!(tries <= 4, "{tries} tries");
}

#[tokio::test]
async fn transient_errors_are_retried() {
    for code in [429, 500, 503, 504] {
        let mock = MockApi::new([refuse(Method::PATCH, "/deployments/", Some(2), code, "later")]);
        let runtime = mock.runtime();
        let name = name();
        runtime.ensure(&name, &spec()).await.expect("ensure");
        assert_eq!(writes(&mock, 3).await, 3, "after {code}");
        wait_for_status(&runtime, &name, TIMEOUT, |status| {
            *status == Status::Pending { cause: None }
        })
        .await;
    }
}

#[tokio::test]
async fn broken_connection_is_retried() {
    let rule = Rule {
        method: Method::PATCH,
        path: "/deployments/",
        watch: false,
        times: Some(1),
        answer: Answer::Break,
    };
    let mock = MockApi::new([rule]);
    let runtime = mock.runtime();
    runtime.ensure(&name(), &spec()).await.expect("ensure");
    assert_eq!(writes(&mock, 2).await, 2);
}

#[tokio::test]
async fn conflict_is_retried() {
    let mock = MockApi::new([refuse(
        Method::PATCH,
        "/deployments/",
        Some(1),
        409,
        "the object has been modified",
    )]);
    let runtime = mock.runtime();
    runtime.ensure(&name(), &spec()).await.expect("ensure");
    assert_eq!(writes(&mock, 2).await, 2);
}

#[tokio::test]
async fn missing_namespace_is_named() {
    let mut rule = refuse(Method::PATCH, "/", None, 404, "namespaces \"mcp-servers\" not found");
    rule.answer = Answer::Refuse(
        404,
        json!({ "message": "not found", "details": { "kind": "namespaces", "name": "mcp-servers" } }),
    );
    let runtime = MockApi::new([rule]).runtime();
    let name = name();
    runtime.ensure(&name, &spec()).await.expect("ensure");
    let status = wait_for_status(&runtime, &name, TIMEOUT, |status| {
        matches!(status, Status::Failed { .. })
    })
    .await;
    assert!(
        status
            .to_string()
            .contains("the namespace \"mcp-servers\" does not exist"),
        "{status}"
    );
}

#[tokio::test]
async fn expired_watch_lists_again() {
    let gone = json!({ "type": "ERROR", "object": { "kind": "Status", "code": 410, "reason": "Expired", "message": "too old" } });
    let mock = MockApi::new([watch("/deployments", Some(1), Answer::Tell(format!("{gone}\n")))]);
    let runtime = mock.runtime();
    assert_eq!(runtime.list().await.expect("a list"), []);
    let lists = || mock.calls("GET /apis/apps/v1/namespaces/mcp-servers/deployments").len();
    eventually("it lists again", TIMEOUT, async || (lists() >= 2).then_some(())).await;
    sleep(QUIET).await;
    assert_eq!(lists(), 2, "it lists again once");
    assert_eq!(runtime.list().await.expect("a list"), []);
}

#[tokio::test]
async fn breaking_watches_back_off() {
    let mock = MockApi::new([watch("/", None, Answer::Break)]);
    let runtime = mock.runtime();
    assert_eq!(runtime.list().await.expect("what was listed is known"), []);
    sleep(Duration::from_secs(5)).await;
    let tries = mock.calls("WATCH").len();
    assert!(tries <= 6 * 8, "{tries} in five seconds");
    drop(runtime);
    sleep(Duration::from_millis(100)).await;
    let tries = mock.calls("").len();
    sleep(Duration::from_secs(3)).await;
    assert_eq!(mock.calls("").len(), tries, "nothing outlives the runtime");
}

#[tokio::test]
async fn failed_removal_is_reported() {
    let mock = MockApi::new([refuse(Method::DELETE, "/deployments/", Some(1), 403, "no")]);
    let runtime = mock.runtime();
    let name = name();
    runtime.ensure(&name, &spec()).await.expect("ensure");
    writes(&mock, 1).await;
    let error = runtime.remove(&name).await.expect_err("it may not");
    assert!(matches!(error, Error::Backend { .. }), "{error:?}");
    assert_eq!(runtime.list().await.expect("a list"), [name], "it is not removed");
    let closed = runtime.endpoint(&name).await.expect_err("it is being removed");
    assert!(matches!(closed, Error::NotReady { failure, .. } if failure.kind == FailureKind::Stopped));
    runtime.remove(&name).await.expect("the second time it is allowed");
    assert_eq!(runtime.list().await.expect("a list"), []);
}
