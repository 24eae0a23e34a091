//! A fault at every operation of a flow, of every kind; then the flow again.

use portolan_core::InstallState;

use super::{
    World,
    faults::Fault,
    world::{request, request_with},
};

/// A flow has fewer operations than this.
const MOST: usize = 400;

#[tokio::test(start_paused = true)]
async fn install_recovers_from_any_fault() {
    let clean = World::new().await;
    clean.install().await;
    let clean = clean.portrait().await;
    for fault in Fault::ALL {
        for n in 0..MOST {
            let world = World::new().await;
            world.faults.at(n, fault).await;
            let first = world.orchestrator();
            let ended = world.faults.run(first.install(request())).await;
            let reached = world.faults.clear().await;
            if let Some(Ok(_)) = ended {
                assert_eq!(
                    world.portrait().await,
                    clean,
                    "success in spite of {fault:?} at {n} is a whole one"
                );
            }
            world.install().await;
            assert_eq!(world.portrait().await, clean, "{fault:?} at {n}");
            if !reached {
                assert!(n > 20, "the flow has more than {n} operations");
                break;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn answer_change_recovers_from_any_fault() {
    let clean = World::new().await;
    clean.install().await;
    let changed = || request_with("us", "other");
    clean.orchestrator().install(changed()).await.expect("changed");
    let clean = clean.portrait().await;
    for fault in Fault::ALL {
        for n in 0..MOST {
            let world = World::new().await;
            world.install().await;
            world.faults.at(n, fault).await;
            let first = world.orchestrator();
            let ended = world.faults.run(first.install(changed())).await;
            let reached = world.faults.clear().await;
            if let Some(Ok(_)) = ended {
                assert_eq!(
                    world.portrait().await,
                    clean,
                    "success in spite of {fault:?} at {n} is a whole one"
                );
            }
            world.orchestrator().install(changed()).await.expect("again");
            assert_eq!(world.portrait().await, clean, "{fault:?} at {n}");
            if !reached {
                break;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn repair_finishes_after_any_fault() {
    for fault in Fault::ALL {
        for n in 0..MOST {
            let world = World::new().await;
            world.faults.at(n, fault).await;
            let first = world.orchestrator();
            let _ = world.faults.run(first.install(request())).await;
            let reached = world.faults.clear().await;
            world.orchestrator().repair().await;
            world.assert_no_orphans(&format!("{fault:?} at {n}")).await;
            world.install().await;
            assert_eq!(world.installs().await.len(), 1);
            if !reached {
                break;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn removal_after_faulty_install_is_complete() {
    let empty = World::new().await.portrait().await;
    for fault in Fault::ALL {
        for n in 0..MOST {
            let world = World::new().await;
            world.faults.at(n, fault).await;
            let first = world.orchestrator();
            let _ = world.faults.run(first.install(request())).await;
            let reached = world.faults.clear().await;
            for install in world.installs().await {
                world.orchestrator().remove(&install.name).await.expect("remove");
            }
            assert_eq!(world.portrait().await, empty, "{fault:?} at {n}");
            if !reached {
                break;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn removal_recovers_from_any_fault() {
    let empty = World::new().await.portrait().await;
    for repaired in [false, true] {
        for fault in Fault::ALL {
            for n in 0..MOST {
                let world = World::new().await;
                let name = world.install().await.name;
                world.faults.at(n, fault).await;
                let first = world.orchestrator();
                let ended = world.faults.run(first.remove(&name)).await;
                let reached = world.faults.clear().await;
                if let Some(Ok(())) = ended {
                    assert_eq!(
                        world.portrait().await,
                        empty,
                        "success in spite of {fault:?} at {n} is a whole one"
                    );
                }
                let still_there = world.installs().await.first().map(|install| install.state.clone());
                if repaired && still_there != Some(InstallState::Ready) {
                    assert!(world.orchestrator().repair().await.is_clean());
                } else {
                    world.orchestrator().remove(&name).await.expect("remove again");
                }
                assert_eq!(world.portrait().await, empty, "{fault:?} at {n}");
                if !reached {
                    break;
                }
            }
        }
    }
}
