//! Deleting and restoring.

use std::time::Duration;

use portolan_core::{CredentialStore, Error, InstallState, Precondition, Runtime, orchestrator::LiveState};

use super::{
    World,
    faults::Fault,
    world::{request, request_with, server},
};

/// A flow has fewer operations than this.
const MOST: usize = 400;
const MONTH: Duration = Duration::from_secs(31 * 24 * 60 * 60);

#[tokio::test]
async fn restored_install_is_as_before() {
    let world = World::new().await;
    let install = world.install().await;
    let before = world.portrait().await;
    let orchestrator = world.orchestrator();
    orchestrator.delete(&install.name).await.expect("deleted");
    assert_eq!(world.runtime.list().await.expect("list"), []);
    assert!(!world.portrait().await.contains("gateway all"), "nothing serves it");
    assert!(!world.credentials.keys("", None, 9).await.expect("keys").is_empty());
    let restored = orchestrator.restore(&install.name).await.expect("restored");
    assert!(restored.is_ready());
    assert_eq!(world.portrait().await, before);
}

#[tokio::test]
async fn server_takes_its_installs_along() {
    let world = World::new().await;
    let install = world.install().await;
    let before = world.portrait().await;
    let orchestrator = world.orchestrator();
    let deleted = orchestrator.delete_server(&server().name).await.expect("deleted");
    assert_eq!((deleted.done, deleted.failures.len()), (vec![install.name], 0));
    assert_eq!(world.runtime.list().await.expect("list"), []);
    assert_eq!(orchestrator.status().await.expect("status"), []);
    let restored = orchestrator.restore_server(&server().name).await.expect("restored");
    assert_eq!((restored.done, restored.failures.len()), (vec![install.name], 0));
    assert_eq!(world.portrait().await, before);
}

#[tokio::test]
async fn install_deleted_before_its_server_stays_deleted() {
    let world = World::new().await;
    let install = world.install().await;
    let orchestrator = world.orchestrator();
    orchestrator.delete(&install.name).await.expect("deleted");
    orchestrator.delete_server(&server().name).await.expect("deleted");
    let error = orchestrator
        .restore(&install.name)
        .await
        .expect_err("server is deleted");
    assert!(error.to_string().contains("restore it first"), "{error}");
    let restored = orchestrator.restore_server(&server().name).await.expect("restored");
    assert_eq!(restored.done, []);
    assert!(world.installs().await[0].is_deleted());
}

#[tokio::test]
async fn deleted_server_refuses_installs_and_changes() {
    let world = World::new().await;
    let orchestrator = world.orchestrator();
    orchestrator.delete_server(&server().name).await.expect("deleted");
    let refused = [
        orchestrator.install(request()).await.map(drop),
        orchestrator.put_server(server(), Precondition::None).await.map(drop),
        orchestrator.update_server(server()).await.map(drop),
    ];
    for refused in refused {
        let error = refused.expect_err("refused");
        assert!(
            matches!(error, Error::Invalid { .. }) && error.to_string().contains("is deleted"),
            "{error}"
        );
    }
    assert!(
        !orchestrator.ensure_server(server()).await.expect("left alone"),
        "start-up code does not undo it"
    );
}

#[tokio::test]
async fn owner_may_install_again_after_a_deletion() {
    let world = World::new().await;
    let first = world.install().await;
    let orchestrator = world.orchestrator();
    orchestrator.delete(&first.name).await.expect("deleted");
    let second = orchestrator
        .install(request_with("us", "other"))
        .await
        .expect("installed");
    assert_ne!(first.name, second.name);
    let error = orchestrator
        .restore(&first.name)
        .await
        .expect_err("there is another one");
    assert!(error.to_string().contains("installed again since"), "{error}");
    for install in world.installs().await {
        assert_eq!(install.is_deleted(), install.name == first.name);
    }
    orchestrator.remove(&second.name).await.expect("removed");
    assert!(orchestrator.restore(&first.name).await.expect("restored").is_ready());
}

#[tokio::test]
async fn expired_is_removed_and_kept_is_not() {
    let world = World::new().await;
    let empty = world.portrait().await;
    let install = world.install().await;
    let orchestrator = world.orchestrator();
    orchestrator.delete_server(&server().name).await.expect("deleted");
    assert_eq!(orchestrator.remove_expired().await.expect("looked"), 0);
    assert!(world.installs().await[0].is_deleted());
    world.clock.advance(MONTH);
    assert_eq!(orchestrator.remove_expired().await.expect("removed"), 2);
    assert_eq!(world.portrait().await, empty);
    assert!(matches!(
        orchestrator.restore(&install.name).await,
        Err(Error::NotFound { .. })
    ));
    assert!(matches!(
        orchestrator.restore_server(&server().name).await,
        Err(Error::NotFound { .. })
    ));
}

#[tokio::test]
async fn restoring_what_is_not_deleted_is_refused() {
    let world = World::new().await;
    let install = world.install().await;
    let error = world.orchestrator().restore(&install.name).await.expect_err("refused");
    assert!(error.to_string().contains("is not deleted"), "{error}");
    assert_eq!(
        world.orchestrator().status().await.expect("status")[0].state,
        LiveState::Ready
    );
}

#[tokio::test(start_paused = true)]
async fn deletion_and_restoration_recover_from_any_fault() {
    let world = World::new().await;
    world.install().await;
    let ready = world.portrait().await;
    for fault in Fault::ALL {
        for n in 0..MOST {
            let world = World::new().await;
            let install = world.install().await;
            world.faults.at(n, fault).await;
            let first = world.orchestrator();
            let _ = world
                .faults
                .run(async {
                    first.delete_server(&server().name).await?;
                    first.restore_server(&server().name).await
                })
                .await;
            let reached = world.faults.clear().await;
            let context = format!("{fault:?} at {n}");
            let again = world.orchestrator();
            again.delete_server(&server().name).await.expect("deleted");
            let [left] = world.installs().await.try_into().expect("one");
            assert!(left.is_deleted(), "{context}: {:?}", left.state);
            assert_eq!(world.runtime.list().await.expect("list"), [], "{context}");
            let restored = again.restore_server(&server().name).await.expect("restored");
            assert_eq!(restored.done, [install.name], "{context}");
            assert_eq!(world.portrait().await, ready, "{context}");
            if !reached {
                assert!(n > 10, "the flow has more than {n} operations");
                break;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn repair_finishes_an_interrupted_deletion() {
    for fault in Fault::ALL {
        for n in 0..MOST {
            let world = World::new().await;
            world.install().await;
            world.faults.at(n, fault).await;
            let first = world.orchestrator();
            let _ = world.faults.run(first.delete_server(&server().name)).await;
            let reached = world.faults.clear().await;
            world.orchestrator().repair().await;
            let [left] = world.installs().await.try_into().expect("one");
            let runs = world.runtime.list().await.expect("list").len();
            match left.state {
                InstallState::Deleted { .. } => assert_eq!(runs, 0, "{fault:?} at {n}"),
                InstallState::Ready => assert_eq!(runs, 1, "{fault:?} at {n}: the deletion had not begun"),
                state => panic!("{fault:?} at {n}: {state:?}"),
            }
            if !reached {
                break;
            }
        }
    }
}
