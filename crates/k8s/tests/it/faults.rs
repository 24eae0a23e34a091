//! Faults of the API server.

use std::time::Duration;

use http::Method;
use portolan_core::{Error, FailureKind, Runtime, Status};
use serde_json::json;
use tokio::time::sleep;

use crate::mock::{Answer, Mock, Rule, name, spec, until};

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

/// Waits until the Deployment has been written, and gives how often that was tried.
async fn written(mock: &Mock, at_least: usize) -> usize {
    let tries = || {
        mock.calls("PATCH /apis/apps/v1/namespaces/mcp-servers/deployments/")
            .len()
    };
    let waiting = async {
        while tries() < at_least {
            sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), waiting)
        .await
        .expect("it is written in time");
    sleep(Duration::from_millis(600)).await;
    tries()
}

#[tokio::test]
async fn an_install_is_written_once_with_the_deployment_last() {
    let mock = Mock::new([]);
    let runtime = mock.runtime();
    runtime.ensure(&name(), &spec()).await.expect("ensure");
    assert_eq!(written(&mock, 1).await, 1);
    let writes = mock.calls("PATCH");
    assert_eq!(writes.len(), 4, "{writes:?}");
    assert!(writes[3].contains("/deployments/"), "{writes:?}");
}

#[tokio::test]
async fn an_expired_token_is_told_with_the_cluster() {
    let mock = Mock::new([refuse(Method::GET, "/", None, 401, "Unauthorized")]);
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
    until(
        &runtime,
        &name,
        |status| matches!(status, Status::Pending { cause: Some(cause) } if cause.contains("Unauthorized")),
    )
    .await;
    assert!(
        mock.calls("PATCH").is_empty(),
        "nothing is written over what is not known"
    );
}

#[tokio::test]
async fn a_missing_rule_is_named_and_no_hot_loop() {
    let message = "deployments.apps \"a\" is forbidden: User \"system:serviceaccount:host:portolan\" cannot patch resource \
                   \"deployments\" in API group \"apps\" in the namespace \"mcp-servers\"";
    let mock = Mock::new([refuse(Method::PATCH, "/deployments/", None, 403, message)]);
    let runtime = mock.runtime();
    let name = name();
    runtime.ensure(&name, &spec()).await.expect("ensure");
    let status = until(&runtime, &name, |status| matches!(status, Status::Failed { .. })).await;
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
    let tries = written(&mock, 1).await;
    assert!(tries <= 4, "{tries} tries");
}

#[tokio::test]
async fn what_passes_is_tried_again_within_the_call() {
    for code in [429, 500, 503, 504] {
        let mock = Mock::new([refuse(Method::PATCH, "/deployments/", Some(2), code, "later")]);
        let runtime = mock.runtime();
        let name = name();
        runtime.ensure(&name, &spec()).await.expect("ensure");
        assert_eq!(written(&mock, 3).await, 3, "after {code}");
        until(&runtime, &name, |status| *status == Status::Pending { cause: None }).await;
    }
}

#[tokio::test]
async fn a_connection_that_breaks_is_tried_again() {
    let rule = Rule {
        method: Method::PATCH,
        path: "/deployments/",
        watch: false,
        times: Some(1),
        answer: Answer::Break,
    };
    let mock = Mock::new([rule]);
    let runtime = mock.runtime();
    runtime.ensure(&name(), &spec()).await.expect("ensure");
    assert_eq!(written(&mock, 2).await, 2);
}

#[tokio::test]
async fn a_conflict_is_tried_again_after_a_while() {
    let mock = Mock::new([refuse(
        Method::PATCH,
        "/deployments/",
        Some(1),
        409,
        "the object has been modified",
    )]);
    let runtime = mock.runtime();
    runtime.ensure(&name(), &spec()).await.expect("ensure");
    assert_eq!(written(&mock, 2).await, 2);
}

#[tokio::test]
async fn a_namespace_that_is_missing_is_named() {
    let mut rule = refuse(Method::PATCH, "/", None, 404, "namespaces \"mcp-servers\" not found");
    rule.answer = Answer::Refuse(
        404,
        json!({ "message": "not found", "details": { "kind": "namespaces", "name": "mcp-servers" } }),
    );
    let runtime = Mock::new([rule]).runtime();
    let name = name();
    runtime.ensure(&name, &spec()).await.expect("ensure");
    let status = until(&runtime, &name, |status| matches!(status, Status::Failed { .. })).await;
    assert!(
        status.to_string().contains("there is no namespace \"mcp-servers\""),
        "{status}"
    );
}

#[tokio::test]
async fn a_watch_that_is_gone_is_listed_anew_and_goes_on() {
    let gone = json!({ "type": "ERROR", "object": { "kind": "Status", "code": 410, "reason": "Expired", "message": "too old" } });
    let mock = Mock::new([watch("/deployments", Some(1), Answer::Tell(format!("{gone}\n")))]);
    let runtime = mock.runtime();
    assert_eq!(runtime.list().await.expect("a list"), []);
    sleep(Duration::from_secs(2)).await;
    let lists = mock.calls("GET /apis/apps/v1/namespaces/mcp-servers/deployments");
    assert_eq!(lists.len(), 2, "listed anew, once");
    assert_eq!(runtime.list().await.expect("a list"), []);
}

#[tokio::test]
async fn watches_that_break_off_all_the_time_are_paced() {
    let mock = Mock::new([watch("/", None, Answer::Break)]);
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
async fn a_removal_that_cannot_be_done_is_told_and_not_forgotten() {
    let mock = Mock::new([refuse(Method::DELETE, "/deployments/", Some(1), 403, "no")]);
    let runtime = mock.runtime();
    let name = name();
    runtime.ensure(&name, &spec()).await.expect("ensure");
    written(&mock, 1).await;
    let error = runtime.remove(&name).await.expect_err("it may not");
    assert!(matches!(error, Error::Backend { .. }), "{error:?}");
    assert_eq!(runtime.list().await.expect("a list"), [name], "it is not removed");
    let closed = runtime.endpoint(&name).await.expect_err("it is being removed");
    assert!(matches!(closed, Error::NotReady { failure, .. } if failure.kind == FailureKind::Stopped));
    runtime.remove(&name).await.expect("the second time it is allowed");
    assert_eq!(runtime.list().await.expect("a list"), []);
}
