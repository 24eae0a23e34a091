//! Flows side by side, in many interleavings, each by a seed.

use futures_util::future::join_all;
use portolan_core::{CredentialKey, CredentialReader, Error, FieldKey, InstallState};

use super::{
    World,
    world::{request, request_with},
};

#[tokio::test(start_paused = true)]
async fn racing_installs_end_as_one() {
    let clean = World::new().await;
    clean.install().await;
    let clean = clean.portrait().await;
    for seed in 1..300 {
        let world = World::new().await;
        world.faults.shuffle(seed);
        let processes: Vec<_> = (0..5).map(|_| world.orchestrator()).collect();
        let results = join_all(processes.iter().map(|process| process.install(request()))).await;
        let names: Vec<_> = results
            .iter()
            .map(|result| result.as_ref().expect("each succeeds").name)
            .collect();
        assert!(names.iter().all(|name| *name == names[0]), "seed {seed}: {names:?}");
        assert_eq!(world.portrait().await, clean, "seed {seed}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn racing_installs_on_threads_end_as_one() {
    for seed in 1..40 {
        let world = World::new().await;
        world.faults.shuffle(seed);
        let tasks: Vec<_> = (0..8)
            .map(|_| {
                let process = world.orchestrator();
                tokio::spawn(async move { process.install(request()).await.map(|install| install.name) })
            })
            .collect();
        let mut names = Vec::new();
        for task in tasks {
            names.push(task.await.expect("no panic").expect("each succeeds"));
        }
        names.dedup();
        assert_eq!(names.len(), 1, "seed {seed}");
        world.assert_no_orphans(&format!("seed {seed}")).await;
        assert_eq!(world.installs().await.len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn racing_answers_never_mix() {
    let field = FieldKey::parse("api_key").expect("a key");
    for seed in 1..300 {
        let world = World::new().await;
        world.faults.shuffle(seed);
        let processes: Vec<_> = (0..3).map(|_| world.orchestrator()).collect();
        let installs = processes.iter().enumerate();
        let results =
            join_all(installs.map(|(n, process)| process.install(request_with(&format!("r{n}"), &format!("s{n}")))))
                .await;
        for result in results {
            let fits = matches!(result, Ok(_) | Err(Error::Conflict { .. } | Error::NotReady { .. }));
            assert!(fits, "seed {seed}: {result:?}");
        }
        let [install] = world.installs().await.try_into().expect("one install");
        if install.state == InstallState::Ready {
            let secret = world
                .credentials
                .read(&CredentialKey::of_install(&install.name, &field))
                .await;
            let secret = secret.expect("read").expect("is there").value;
            let region = install.answers.values().next().expect("an answer");
            assert_eq!(
                region[1..],
                secret.reveal()[1..],
                "seed {seed}: {region} with another's secret"
            );
            world.assert_runs_as_recorded(&install, &format!("seed {seed}"));
        }
        world.install().await;
    }
}

#[tokio::test(start_paused = true)]
async fn racing_removals_leave_no_orphans() {
    for seed in 1..300 {
        let world = World::new().await;
        let name = world.install().await.name;
        world.faults.shuffle(seed);
        let (one, two, three) = (world.orchestrator(), world.orchestrator(), world.orchestrator());
        let (removed, installed, changed) = tokio::join!(
            one.remove(&name),
            two.install(request()),
            three.install(request_with("us", "other"))
        );
        removed.unwrap_or_else(|error| panic!("seed {seed}: {error:?}"));
        for result in [installed, changed] {
            let fits = matches!(result, Ok(_) | Err(Error::Conflict { .. } | Error::NotReady { .. }));
            assert!(fits, "seed {seed}: {result:?}");
        }
        let installs = world.installs().await;
        assert!(installs.len() <= 1, "seed {seed}: {installs:?}");
        for install in &installs {
            world.assert_runs_as_recorded(install, &format!("seed {seed}"));
        }
        assert!(
            installs.iter().all(|install| install.name != name),
            "removed is removed"
        );
        world.assert_no_orphans(&format!("seed {seed}")).await;
    }
}

#[tokio::test(start_paused = true)]
async fn racing_server_removal_spares_installs() {
    for seed in 1..200 {
        let world = World::new().await;
        world.faults.shuffle(seed);
        let (one, two) = (world.orchestrator(), world.orchestrator());
        let name = request().server;
        let (removed, installed) = tokio::join!(one.remove_server(&name), two.install(request()));
        assert!(
            !(removed.is_ok() && installed.is_ok()),
            "seed {seed}: the server is gone and installed"
        );
        world.assert_no_orphans(&format!("seed {seed}")).await;
    }
}
