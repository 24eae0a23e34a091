//! A status page.

use std::sync::Arc;

use portolan::{
    FailureKind, LiveState, OrchestratorOptions, Owner, Platform, ProcessConfig, ProcessRuntime, ServerSpec,
    core::memory,
};
use portolan_fixtures::http::{HttpFixture, Options};

use crate::support::{Place, stdio, until};

#[tokio::test]
async fn remote_server_that_is_off_is_failed() {
    let place = Place::new();
    let options = OrchestratorOptions::default().with_probe_age(std::time::Duration::ZERO);
    let platform = Platform::builder(place.database())
        .orchestrator_options(options)
        .build()
        .await
        .expect("a platform");
    let remote = HttpFixture::start(Options::default()).await.expect("a server");
    let server = platform
        .ensure(ServerSpec::remote("crm", remote.url()).expect("a spec"))
        .await
        .expect("a server");
    platform.install(&server, Owner::Org).await.expect("an install");
    let [status] = platform.status().await.expect("status").try_into().expect("one");
    assert_eq!((status.state, status.failure), (LiveState::Ready, None));
    drop(remote);
    let [status] = platform.status().await.expect("status").try_into().expect("one");
    assert_eq!(status.state, LiveState::Failed);
    let failure = status.failure.expect("a reason");
    assert_eq!(failure.kind, FailureKind::Connection);
    assert!(failure.remedy.is_some());
}

#[tokio::test]
async fn process_that_dies_is_not_ready() {
    let place = Place::new();
    let platform = place.platform().await;
    let spec = ServerSpec::command("dies", "sh", ["-c", "echo a word of farewell >&2; exit 3"]).expect("a spec");
    let server = platform.ensure(spec).await.expect("a server");
    platform.install(&server, Owner::Org).await.expect_err("it dies");
    let [status] = platform.status().await.expect("status").try_into().expect("one");
    assert_eq!(status.state, LiveState::Failed);
    assert!(status.log.iter().any(|line| line.contains("farewell")), "{status:?}");
    let json = serde_json::to_value([&status]).expect("JSON");
    assert_eq!(json[0]["state"], "failed");
}

#[tokio::test]
async fn killed_process_is_told_by_status() {
    let place = Place::new();
    let credentials = Arc::new(memory::MemoryCredentials::new());
    let runtime = Arc::new(ProcessRuntime::new(
        ProcessConfig::of_this_process(),
        credentials.clone(),
    ));
    let platform = Platform::builder(place.database())
        .credentials(credentials)
        .runtime(runtime.clone())
        .build()
        .await
        .expect("a platform");
    let server = platform.ensure(stdio("demo")).await.expect("a server");
    let install = platform.install(&server, Owner::Org).await.expect("an install");
    let before = platform.status().await.expect("status")[0].restarts;
    let pid = runtime.pid(&install.name).expect("it runs").to_string();
    let killed = std::process::Command::new("kill").args(["-9", &pid]).status();
    assert!(killed.expect("run").success());
    until("it was started again", async || {
        let status = &platform.status().await.expect("status")[0];
        status.state == LiveState::Ready && status.restarts > before
    })
    .await;
}
