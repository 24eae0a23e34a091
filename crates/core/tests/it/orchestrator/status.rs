//! The state of installs.

use std::time::Duration;

use portolan_core::{
    Failure, FailureKind, Owner, Runtime, ServerSpec, Status,
    conformance::sample,
    orchestrator::{InstallRequest, LiveState},
};

use super::{
    World,
    world::{request, server},
};

async fn remote(world: &World) {
    let remote = ServerSpec::remote("remote", "https://api.example.com/mcp").expect("a server");
    world.put(remote.clone()).await;
    let request = InstallRequest::new(remote.name, Owner::Org);
    world.orchestrator().install(request).await.expect("install");
}

#[tokio::test]
async fn ready_install_is_ready() {
    let world = World::new().await;
    let install = world.install().await;
    let [status] = world
        .orchestrator()
        .status()
        .await
        .expect("status")
        .try_into()
        .expect("one");
    assert_eq!(
        (status.install, status.state, status.tools),
        (install.name, LiveState::Ready, 1)
    );
    assert_eq!(status.failure, None);
    let json = serde_json::to_value(&status).expect("JSON");
    assert_eq!((&json["state"], &json["server"]), (&"ready".into(), &"time".into()));
}

#[tokio::test]
async fn status_of_runtime_beats_record() {
    let world = World::new().await;
    let install = world.install().await;
    let failure = Failure::new(FailureKind::CrashLoop, "it ends again and again").remedy("look at its log");
    let status = Status::Failed {
        failure: failure.clone(),
    };
    world.runtime.set(&install.name, status);
    let [status] = world
        .orchestrator()
        .status()
        .await
        .expect("status")
        .try_into()
        .expect("one");
    assert_eq!((status.state, status.failure), (LiveState::Failed, Some(failure)));

    world
        .runtime
        .remove(&install.name)
        .await
        .expect("removed behind its back");
    let [status] = world
        .orchestrator()
        .status()
        .await
        .expect("status")
        .try_into()
        .expect("one");
    assert_eq!(status.failure.expect("a failure").kind, FailureKind::Stopped);
}

#[tokio::test]
async fn failed_install_says_why() {
    let world = World::new().await;
    let failure = Failure::new(FailureKind::Image, "no such image");
    let status = Status::Failed {
        failure: failure.clone(),
    };
    world.runtime.becomes(&server().name, status);
    world.orchestrator().install(request()).await.expect_err("no image");
    let [status] = world
        .orchestrator()
        .status()
        .await
        .expect("status")
        .try_into()
        .expect("one");
    assert_eq!((status.state, status.failure), (LiveState::Failed, Some(failure)));
}

#[tokio::test(start_paused = true)]
async fn remote_server_is_asked_once_in_a_while() {
    let world = World::new().await;
    remote(&world).await;
    let orchestrator = world.orchestrator();
    let state = async || {
        let [status] = orchestrator.status().await.expect("status").try_into().expect("one");
        (status.state, status.failure.map(|failure| failure.kind))
    };
    assert_eq!(state().await, (LiveState::Ready, None));
    world
        .discovery
        .set(Err(Failure::new(FailureKind::Connection, "connection refused")));
    assert_eq!(state().await, (LiveState::Ready, None), "it was asked just now");
    tokio::time::advance(Duration::from_secs(11)).await;
    assert_eq!(state().await, (LiveState::Failed, Some(FailureKind::Connection)));
    world.discovery.set(Ok(vec![sample::tool(r#"{"name":"a"}"#)]));
    tokio::time::advance(Duration::from_secs(11)).await;
    assert_eq!(state().await, (LiveState::Ready, None));
}
