//! Servers and gateways.

use portolan_core::{
    CredentialKey, CredentialReader, CredentialStore, Error, FieldKey, Labels, Precondition, Registry, RegistryExt,
    conformance::sample,
};

use super::{
    World,
    world::{request, server},
};

#[tokio::test]
async fn contradictory_server_is_refused() {
    let world = World::new().await;
    let mut server = sample::server("twice");
    let field = portolan_core::Field::secret_env("k", "K").expect("a field");
    server.fields = vec![field.clone(), field];
    let refused = world
        .orchestrator()
        .put_server(server.clone(), Precondition::None)
        .await;
    assert!(matches!(refused, Err(Error::Invalid { .. })), "{refused:?}");
    assert!(
        world.registry.server(&server.name).await.is_err(),
        "nothing was written"
    );
}

#[tokio::test]
async fn removal_names_remaining_installs() {
    let world = World::new().await;
    let install = world.install().await;
    let error = world
        .orchestrator()
        .remove_server(&server().name)
        .await
        .expect_err("installed");
    assert_eq!(
        error.to_string(),
        "server: \"time\" is installed for team \"web\"; remove these installs first"
    );
    assert!(world.registry.server(&server().name).await.is_ok());
    world.orchestrator().remove(&install.name).await.expect("remove");
    world
        .orchestrator()
        .remove_server(&server().name)
        .await
        .expect("remove the server");
    world
        .orchestrator()
        .remove_server(&server().name)
        .await
        .expect("gone is done");
}

#[tokio::test]
async fn server_secrets_are_removed_with_it() {
    let world = World::new().await;
    let key = CredentialKey::of_server(&server().name, &FieldKey::parse("api_key").expect("a key"));
    world
        .credentials
        .put(&key, "of all".into(), Precondition::None)
        .await
        .expect("put");
    world
        .orchestrator()
        .remove_server(&server().name)
        .await
        .expect("remove");
    assert_eq!(world.credentials.read(&key).await.expect("read"), None);
}

#[tokio::test]
async fn changed_label_unpublishes_server() {
    let world = World::new().await;
    world.install().await;
    let name = sample::gateway_name("labels");
    assert_eq!(world.gateway.publication(&name).expect("published").routes.len(), 1);
    let mut changed = server();
    changed.labels = Labels::default();
    world
        .orchestrator()
        .put_server(changed, Precondition::None)
        .await
        .expect("put");
    assert_eq!(world.gateway.publication(&name).expect("published").routes.len(), 0);
}

#[tokio::test]
async fn gateway_follows_its_record() {
    let world = World::new().await;
    let name = sample::gateway_name("new");
    world
        .orchestrator()
        .put_gateway(sample::gateway("new"), Precondition::Absent)
        .await
        .expect("put");
    assert!(world.gateway.publication(&name).is_some());
    world
        .orchestrator()
        .put_gateway(sample::gateway("new"), Precondition::Absent)
        .await
        .expect_err("there already");
    for _ in 0..2 {
        world.orchestrator().remove_gateway(&name).await.expect("remove");
    }
    assert!(world.gateway.publication(&name).is_none());
    assert!(world.registry.gateway(&name).await.is_err());
}

#[tokio::test]
async fn stale_server_conflicts() {
    let world = World::new().await;
    let version = world
        .registry
        .server(&request().server)
        .await
        .expect("is there")
        .version;
    world
        .registry
        .put(server().into(), Precondition::None)
        .await
        .expect("put");
    let stale = world
        .orchestrator()
        .put_server(server(), Precondition::Version(version))
        .await;
    assert!(matches!(stale, Err(Error::Conflict { .. })), "{stale:?}");
}
