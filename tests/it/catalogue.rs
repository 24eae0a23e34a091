//! Servers that are ensured and updated, and installs with answers.

use std::time::Duration;

use portolan::{Error, Field, OrchestratorOptions, Owner, Platform, RegistryExt, ServerSpec, UpdateOutcome};

use crate::support::{Place, stdio};

#[tokio::test]
async fn ensure_leaves_a_changed_server_alone() {
    let place = Place::new();
    let platform = place.platform().await;
    let name = platform.ensure(stdio("demo")).await.expect("created");
    let mut theirs = stdio("demo");
    theirs.title = Some("renamed by an administrator".into());
    platform.update(theirs.clone()).await.expect("changed");
    platform.ensure(stdio("demo")).await.expect("left alone");
    let kept = platform.registry().server(&name).await.expect("is there").value;
    assert_eq!(kept.title, theirs.title);
    platform.add(stdio("demo")).await.expect("replaced");
    let kept = platform.registry().server(&name).await.expect("is there").value;
    assert_eq!(kept.title, None);
}

#[tokio::test]
async fn update_names_installs_to_reinstall() {
    let place = Place::new();
    let platform = place.platform().await;
    let name = platform.ensure(stdio("demo")).await.expect("a server");
    platform.install(&name, Owner::Org).await.expect("an install");
    let asks = stdio("demo").field(Field::secret_env("api_key", "KEY").expect("a field"));
    let update = platform.update(asks).await.expect("updated");
    assert_eq!(update.outcome, UpdateOutcome::Changed);
    assert_eq!(
        update.reinstall[0].reasons,
        ["field \"api_key\" is required and has no answer"]
    );
}

#[tokio::test]
async fn answers_go_where_their_fields_say() {
    let place = Place::new();
    let platform = place.platform().await;
    let mut spec: ServerSpec = stdio("demo");
    spec = spec.field(Field::secret_env("api_key", "KEY").expect("a field"));
    let mut region = Field::secret_env("region", "REGION").expect("a field");
    region.secret = false;
    let server = platform.ensure(spec.field(region)).await.expect("a server");
    let install = platform
        .install_with(&server, Owner::Org, [("api_key", "s3cr3t"), ("region", "eu")])
        .await
        .expect("an install");
    let plain: Vec<_> = install.answers.values().map(String::as_str).collect();
    assert_eq!((plain, install.secrets.len()), (vec!["eu"], 1));
    let wrong = platform.install_with(&server, Owner::Org, [("key", "s3cr3t")]).await;
    let error = wrong.expect_err("no such field");
    assert!(
        matches!(error, Error::Invalid { .. }) && !error.to_string().contains("s3cr3t"),
        "{error}"
    );
}

#[tokio::test]
async fn deleted_server_comes_back_until_it_expires() {
    let place = Place::new();
    let platform = place.platform().await;
    let server = platform.ensure(stdio("demo")).await.expect("a server");
    let install = platform.install(&server, Owner::Org).await.expect("an install");
    platform.delete_server(&server).await.expect("deleted");
    assert!(platform.status().await.expect("status").is_empty());
    platform.ensure(stdio("demo")).await.expect("left alone");
    let restored = platform.restore_server(&server).await.expect("restored");
    assert_eq!(restored.done, [install.name]);
    platform.delete(&install.name).await.expect("deleted");
    platform.shutdown(Duration::from_secs(5)).await.expect("an end");
    drop(platform);

    let options = OrchestratorOptions::default().with_retention(Duration::ZERO);
    let builder = Platform::builder(place.database()).orchestrator_options(options);
    let platform = builder.build().await.expect("a platform");
    let gone = platform.restore(&install.name).await;
    assert!(matches!(gone, Err(Error::NotFound { .. })), "{gone:?}");
    platform.registry().server(&server).await.expect("was not deleted");
}
