//! Servers that change while they are installed.

use portolan_core::{
    Delivery, Field, Labels, Owner, RegistryExt, ServerSpec, Source,
    orchestrator::{InstallRequest, ServerUpdate, UpdateOutcome},
};

use super::{
    World,
    world::{field, request, server},
};

async fn update(world: &World, change: impl FnOnce(&mut ServerSpec)) -> ServerUpdate {
    let mut changed = server();
    change(&mut changed);
    world.orchestrator().update_server(changed).await.expect("update")
}

#[tokio::test]
async fn ensure_creates_and_then_leaves_alone() {
    let world = World::new().await;
    let orchestrator = world.orchestrator();
    let ours = ServerSpec::command("notes", "notes", ["--one"]).expect("a server");
    assert!(orchestrator.ensure_server(ours.clone()).await.expect("ensure"));
    let mut theirs = ours.clone();
    theirs.title = Some("changed by an administrator".into());
    world.put(theirs.clone()).await;
    assert!(!orchestrator.ensure_server(ours.clone()).await.expect("ensure"));
    let kept = world.registry.server(&ours.name).await.expect("is there").value;
    assert_eq!(kept, theirs);
}

#[tokio::test]
async fn update_without_installs_needs_no_reinstall() {
    let world = World::new().await;
    let new = ServerSpec::command("notes", "notes", ["--one"]).expect("a server");
    let orchestrator = world.orchestrator();
    for outcome in [UpdateOutcome::Created, UpdateOutcome::Unchanged] {
        let update = orchestrator.update_server(new.clone()).await.expect("update");
        assert_eq!((update.outcome, update.reinstall), (outcome, Vec::new()));
    }
}

#[tokio::test]
async fn update_of_labels_needs_no_reinstall() {
    let world = World::new().await;
    world.install().await;
    let update = update(&world, |server| server.labels = Labels::default()).await;
    assert_eq!((update.outcome, update.reinstall), (UpdateOutcome::Changed, Vec::new()));
}

#[tokio::test]
async fn update_says_what_to_reinstall_and_why() {
    let world = World::new().await;
    let install = world.install().await;
    let update = update(&world, |server| {
        server.source = Source::Command {
            program: "serve2".into(),
            args: Vec::new(),
            transport: Default::default(),
        };
        server.fields.retain(|field| field.key.as_str() != "region");
        server
            .fields
            .push(Field::secret_env("token", "TOKEN").expect("a field"));
    })
    .await;
    let [reinstall] = update.reinstall.try_into().expect("one");
    assert_eq!((reinstall.install, reinstall.owner), (install.name, install.owner));
    let reasons = [
        "field \"token\" is required and has no answer",
        "field \"region\" is not asked for any more",
    ];
    assert_eq!(reinstall.reasons, reasons);
}

#[tokio::test]
async fn update_of_a_command_needs_a_reinstall() {
    let world = World::new().await;
    let install = world.install().await;
    let update = update(&world, |server| {
        let port = Delivery::Env { name: "PORT2".into() };
        server.fields.retain(|field| field.key.as_str() != "port");
        let mut port = field("port", port);
        port.default = Some("81".into());
        server.fields.push(port);
    })
    .await;
    assert_eq!(
        update.reinstall[0].reasons,
        ["its environment variables or files have changed"]
    );
    // Installing again takes it on.
    world.orchestrator().install(request()).await.expect("again");
    let spec = world.runtime.deployment(&install.name).expect("a deployment");
    assert!(spec.env.contains_key("PORT2"));
}

#[tokio::test]
async fn update_of_a_remote_url_is_named() {
    let world = World::new().await;
    let remote = |url: &str| ServerSpec::remote("remote", url).expect("a server");
    world.put(remote("https://one.example.com/mcp")).await;
    let request = InstallRequest::new(remote("https://one.example.com/mcp").name, Owner::Org);
    world.orchestrator().install(request).await.expect("install");
    let update = world
        .orchestrator()
        .update_server(remote("https://two.example.com/mcp"))
        .await;
    let reasons = &update.expect("update").reinstall[0].reasons;
    assert_eq!(*reasons, ["its URL has changed, and its tools may have"]);
}
