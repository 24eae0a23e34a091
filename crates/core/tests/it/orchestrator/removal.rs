//! Removing.

use portolan_core::{Failure, FailureKind, InstallState, Status, conformance::sample};

use super::{
    World,
    faults::Fault,
    world::{request, server},
};

#[tokio::test]
async fn removal_leaves_nothing() {
    let world = World::new().await;
    let empty = world.portrait().await;
    let install = world.install().await;
    world.orchestrator().remove(&install.name).await.expect("remove");
    assert_eq!(world.portrait().await, empty);
}

#[tokio::test]
async fn removing_twice_succeeds() {
    let world = World::new().await;
    let install = world.install().await;
    for name in [install.name, install.name, sample::install_name(99)] {
        world.orchestrator().remove(&name).await.expect("remove");
    }
}

#[tokio::test]
async fn failed_install_can_be_removed() {
    let world = World::new().await;
    let empty = world.portrait().await;
    let failure = Failure::new(FailureKind::Image, "no such image");
    world.runtime.becomes(&server().name, Status::Failed { failure });
    world.orchestrator().install(request()).await.expect_err("no image");
    let [install] = world.installs().await.try_into().expect("one");
    world.orchestrator().remove(&install.name).await.expect("remove");
    assert_eq!(world.portrait().await, empty);
}

#[tokio::test]
async fn record_goes_last() {
    let world = World::new().await;
    let install = world.install().await;
    let mut seen = 0;
    for n in 0..100 {
        world.faults.at(n, Fault::FailBefore).await;
        let removed = world.orchestrator().remove(&install.name).await;
        world.faults.clear().await;
        if removed.is_ok() {
            break;
        }
        if let [left] = world.installs().await.as_slice() {
            seen += usize::from(left.state == InstallState::Removing);
        }
    }
    assert!(seen > 3, "removing was seen {seen} times");
    assert_eq!(world.installs().await, []);
}

#[tokio::test]
async fn names_are_never_reused() {
    let world = World::new().await;
    let first = world.install().await;
    world.orchestrator().remove(&first.name).await.expect("remove");
    assert_ne!(world.install().await.name, first.name);
}
