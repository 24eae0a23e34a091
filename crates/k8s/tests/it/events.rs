//! The tracing events that the crate documentation lists.

use std::{
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use http::Method;
use portolan_core::{Runtime, Status};
use serde_json::json;
use tracing_subscriber::fmt::MakeWriter;

use crate::{
    mock_api::{Answer, MockApi, Rule, name, spec},
    wait::{eventually, wait_for_status},
};

const TIMEOUT: Duration = Duration::from_secs(15);

/// Collects the lines of a subscriber.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    /// Waits for a line with all of `parts`.
    async fn wait_for(&self, parts: &[&str]) {
        eventually(&parts.join(" "), TIMEOUT, async || {
            let text = String::from_utf8(self.0.lock().expect("no panic").clone()).expect("UTF-8");
            let found = text.lines().any(|line| parts.iter().all(|part| line.contains(part)));
            found.then_some(())
        })
        .await;
    }
}

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no panic").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// Collects the events of this thread, which runs all tasks of the test.
fn collect() -> (Lines, tracing::subscriber::DefaultGuard) {
    let lines = Lines::default();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_max_level(tracing::Level::INFO)
        .with_writer(lines.clone())
        .finish();
    (lines, tracing::subscriber::set_default(subscriber))
}

fn rule(method: Method, path: &'static str, watch: bool, answer: Answer) -> Rule {
    Rule {
        method,
        path,
        watch,
        times: None,
        answer,
    }
}

#[tokio::test]
async fn apply_and_removal() {
    let (lines, _guard) = collect();
    let mock = MockApi::new([]);
    let runtime = mock.runtime();
    let name = name();
    runtime.ensure(&name, &spec()).await.expect("ensure");
    let install = format!("install={name}");
    let applied = [
        " INFO portolan_k8s: deployment applied ",
        &install,
        "deployment=\"mcp-time-",
        "namespace=\"mcp-servers\"",
        "reason=\"created\"",
    ];
    lines.wait_for(&applied).await;
    runtime.remove(&name).await.expect("remove");
    let gone = [
        " INFO portolan_k8s: deployment gone ",
        &install,
        "deployment=\"mcp-time-",
    ];
    lines.wait_for(&gone).await;
}

#[tokio::test]
async fn forbidden_apply_and_failure() {
    let (lines, _guard) = collect();
    let message = "deployments.apps \"a\" is forbidden: User \"system:serviceaccount:host:portolan\" cannot patch resource \
                   \"deployments\" in API group \"apps\" in the namespace \"mcp-servers\"";
    let answer = Answer::Refuse(403, json!({ "message": message }));
    let mock = MockApi::new([rule(Method::PATCH, "/deployments/", false, answer)]);
    let runtime = mock.runtime();
    let name = name();
    runtime.ensure(&name, &spec()).await.expect("ensure");
    wait_for_status(&runtime, &name, TIMEOUT, |status| {
        matches!(status, Status::Failed { .. })
    })
    .await;
    lines
        .wait_for(&["ERROR portolan_k8s: forbidden ", "namespace=\"mcp-servers\"", "may not"])
        .await;
    let install = format!("install={name}");
    lines
        .wait_for(&[
            " WARN portolan_k8s: deployment failed ",
            &install,
            "kind=Config",
            "reason=\"forbidden",
        ])
        .await;
}

#[tokio::test]
async fn broken_watch() {
    let (lines, _guard) = collect();
    let mock = MockApi::new([rule(Method::GET, "/pods", true, Answer::Break)]);
    let runtime = mock.runtime();
    runtime.list().await.expect("a list");
    lines
        .wait_for(&[
            " WARN portolan_k8s: watch broke ",
            "namespace=\"mcp-servers\"",
            "kind=\"pods\"",
        ])
        .await;
}
