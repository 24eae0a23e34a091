//! Repairing after a start.

use std::sync::Arc;

use portolan_core::{
    CredentialKey, CredentialStore, Endpoint, FieldKey, HttpEndpoint, Install, InstallState, Owner, Precondition,
    Registry, Runtime,
    conformance::sample,
    memory::{MemoryGateway, MemoryRuntime},
    orchestrator::run_spec,
};

use super::{
    World,
    world::{owner, request, server},
};

#[tokio::test]
async fn empty_runtime_is_filled() {
    let mut world = World::new().await;
    let install = world.install().await;
    let before = world.portrait().await;
    let url = "http://127.0.0.1:9/mcp".parse().expect("a URL");
    world.runtime = Arc::new(MemoryRuntime::new(
        Endpoint::Http(HttpEndpoint::new(url)),
        world.clock.clone(),
    ));
    world.gateway = Arc::new(MemoryGateway::new());
    let report = world.orchestrator().repair().await;
    assert!(report.is_clean(), "{report}");
    assert_eq!(report.ensured, [install.name]);
    assert_eq!(world.portrait().await, before);
}

#[tokio::test]
async fn repair_changes_nothing_that_fits() {
    let world = World::new().await;
    let install = world.install().await;
    let (before, spec) = (world.portrait().await, world.runtime.deployment(&install.name));
    assert!(world.orchestrator().repair().await.is_clean());
    assert_eq!(world.portrait().await, before);
    assert_eq!(world.runtime.deployment(&install.name), spec);
    assert_eq!(world.installs().await, [install]);
}

#[tokio::test]
async fn orphans_are_removed() {
    let world = World::new().await;
    let install = world.install().await;
    let orphan = Install::new(sample::install_name(7), server().name, owner(), sample::time(0));
    let mut bare = server();
    bare.fields.clear();
    bare.source = sample::server("time").source;
    let spec = run_spec(&bare, &orphan).expect("a spec");
    world.runtime.ensure(&orphan.name, &spec).await.expect("ensure");
    let key = CredentialKey::of_install(&sample::install_name(8), &FieldKey::parse("k").expect("a key"));
    world
        .credentials
        .put(&key, "left".into(), Precondition::None)
        .await
        .expect("put");
    let report = world.orchestrator().repair().await;
    assert_eq!(report.orphans, [sample::install_name(7), sample::install_name(8)]);
    assert_eq!(world.runtime.list().await.expect("list"), [install.name]);
    world.assert_no_orphans("after repair").await;
}

#[tokio::test]
async fn failure_stops_no_other_repair() {
    let world = World::new().await;
    let mut broken = sample::install(1);
    (broken.server, broken.state) = (sample::server_name("gone"), InstallState::Ready);
    world
        .registry
        .put(broken.into(), Precondition::None)
        .await
        .expect("put");
    let mut names = Vec::new();
    for number in 0..20 {
        let mut request = request();
        request.owner = Owner::Personal(format!("user{number}").parse().expect("a user"));
        names.push(world.orchestrator().install(request).await.expect("install").name);
    }
    let mut report = world.orchestrator().repair().await;
    report.ensured.sort_unstable();
    names.sort_unstable();
    assert_eq!(report.ensured, names);
    assert_eq!(report.failures.len(), 1);
    assert!(report.to_string().contains("no server named \"gone\""), "{report}");
}

#[tokio::test]
async fn interrupted_flows_are_finished() {
    let world = World::new().await;
    let put = async |number, state| {
        let owner = Owner::Personal(format!("user{number}").parse().expect("a user"));
        let mut install = Install::new(
            sample::install_name(number),
            sample::server_name("plain"),
            owner,
            sample::time(0),
        );
        install.state = state;
        world
            .registry
            .put(install.into(), Precondition::None)
            .await
            .expect("put");
    };
    world.put(sample::server("plain")).await;
    put(1, InstallState::Reserved).await;
    put(2, InstallState::Pending).await;
    put(3, InstallState::Removing).await;
    let mut report = world.orchestrator().repair().await;
    report.removed.sort_unstable();
    assert!(report.is_clean(), "{report}");
    assert_eq!(report.completed, [sample::install_name(2)]);
    assert_eq!(report.removed, [sample::install_name(1), sample::install_name(3)]);
    let [install] = world.installs().await.try_into().expect("one");
    assert!(install.is_ready());
}
