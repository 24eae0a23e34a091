//! Installing, step by step and in the end.

use std::time::Duration;

use portolan_core::{
    Answers, CredentialKey, CredentialReader, CredentialStore, EnvValue, Error, Failure, FailureKind, Field, FieldKey,
    InstallState, Owner, Precondition, Runtime, ServerSpec, Source, Status,
    conformance::sample,
    orchestrator::{InstallRequest, Progress},
};

use super::{
    World,
    world::{LONG, owner, request, request_with, server},
};

#[tokio::test]
async fn install_runs_and_is_published() {
    let world = World::new().await;
    let install = world.install().await;
    assert_eq!((install.state.clone(), install.tools.len()), (InstallState::Ready, 1));

    let spec = world.runtime.deployment(&install.name).expect("a deployment");
    let key = CredentialKey::of_install(&install.name, &FieldKey::parse("api_key").expect("a key"));
    assert_eq!(spec.env["API_KEY"], EnvValue::Secret(key.clone()));
    assert_eq!(spec.env["PORT"], EnvValue::Plain("80".into()));
    assert!(
        matches!(&spec.source, Source::Command { args, .. } if *args == ["--region=eu"]),
        "{spec:?}"
    );
    assert!(spec.files.is_empty(), "an answer that was not given is not there");
    assert_eq!(
        world
            .credentials
            .read(&key)
            .await
            .expect("read")
            .expect("is there")
            .value
            .reveal(),
        "s3cr3t"
    );
    assert!(!format!("{install:?}").contains("s3cr3t"));

    for gateway in ["all", "labels", "assigned"] {
        let publication = world
            .gateway
            .publication(&sample::gateway_name(gateway))
            .expect("published");
        assert_eq!(
            publication.routes[0].installs.iter().next().expect("an install").name,
            install.name,
            "{gateway}"
        );
    }
}

#[tokio::test]
async fn progress_comes_in_order() {
    let world = World::new().await;
    let mut told = Vec::new();
    let orchestrator = world.orchestrator();
    orchestrator
        .install_with_progress(request(), &mut |step| told.push(step))
        .await
        .expect("install");
    let expected = [
        Progress::Checking,
        Progress::Recording,
        Progress::StoringSecrets,
        Progress::Starting { status: Status::Ready },
        Progress::Discovering,
        Progress::Publishing,
        Progress::Done,
    ];
    assert_eq!(told, expected);
    let lines: Vec<_> = told.iter().map(ToString::to_string).collect();
    assert_eq!(
        lines.join(", "),
        "checking the answers, recording the install, storing its secrets, server ready, \
        asking for its tools, telling the gateways, done"
    );
}

#[tokio::test]
async fn reinstall_with_same_answers_changes_nothing() {
    let world = World::new().await;
    let first = world.install().await;
    let key = CredentialKey::of_install(&first.name, &FieldKey::parse("api_key").expect("a key"));
    let secret = world.credentials.read(&key).await.expect("read");
    let spec = world.runtime.deployment(&first.name);
    world.clock.advance(LONG);
    // A server that does not answer just now does not make a ready install unready.
    world
        .discovery
        .set(Err(Failure::new(FailureKind::Protocol, "it stutters")));
    assert_eq!(world.install().await, first);
    assert_eq!(world.credentials.read(&key).await.expect("read"), secret);
    assert_eq!(world.runtime.deployment(&first.name), spec);
}

#[tokio::test]
async fn reinstall_asks_for_tools_again() {
    let world = World::new().await;
    let first = world.install().await;
    world.discovery.set(Ok(vec![sample::tool(r#"{"name":"new"}"#)]));
    let again = world.install().await;
    assert_eq!(again.name, first.name);
    assert_eq!(again.tools[0].name().as_str(), "new");
    let publication = world
        .gateway
        .publication(&sample::gateway_name("all"))
        .expect("published");
    assert_eq!(
        publication.routes[0].installs.iter().next().expect("an install").tools,
        again.tools
    );
}

#[tokio::test]
async fn new_answers_replace_old_ones() {
    let world = World::new().await;
    let first = world.install().await;
    let second = world
        .orchestrator()
        .install(request_with("us", "s3cr3t"))
        .await
        .expect("again");
    assert_eq!(second.name, first.name);
    let spec = world.runtime.deployment(&first.name).expect("a deployment");
    assert!(
        matches!(&spec.source, Source::Command { args, .. } if *args == ["--region=us"]),
        "{spec:?}"
    );
}

#[tokio::test]
async fn new_secret_replaces_deployment() {
    let world = World::new().await;
    let install = world.install().await;
    let before = world.runtime.deployment(&install.name).expect("a deployment");
    world
        .orchestrator()
        .install(request_with("eu", "rotated"))
        .await
        .expect("again");
    let after = world.runtime.deployment(&install.name).expect("a deployment");
    assert_ne!(before, after, "the same keys, but another spec");
}

#[tokio::test]
async fn omitted_answer_is_removed() {
    let world = World::new().await;
    let answers = Answers::new()
        .set("region", "eu")
        .secret("api_key", "k")
        .secret("extra", "x");
    let install = world
        .orchestrator()
        .install(InstallRequest::new(server().name, owner()).answers(answers))
        .await;
    let install = install.expect("with extra");
    assert_eq!(
        world
            .runtime
            .deployment(&install.name)
            .expect("a deployment")
            .files
            .len(),
        1
    );
    world.install().await;
    assert!(
        world
            .runtime
            .deployment(&install.name)
            .expect("a deployment")
            .files
            .is_empty()
    );
    assert_eq!(
        world.credentials.keys("install/", None, 10).await.expect("keys").len(),
        1
    );
}

#[tokio::test]
async fn server_secret_need_not_be_given() {
    let world = World::new().await;
    let field = FieldKey::parse("api_key").expect("a key");
    let key = CredentialKey::of_server(&server().name, &field);
    world
        .credentials
        .put(&key, "of all".into(), Precondition::None)
        .await
        .expect("put");
    let install = world
        .orchestrator()
        .install(InstallRequest::new(server().name, owner()))
        .await
        .expect("install");
    assert_eq!(install.secrets[&field], key);
    world.orchestrator().remove(&install.name).await.expect("remove");
    assert!(
        world.credentials.read(&key).await.expect("read").is_some(),
        "it is not the install's to remove"
    );
}

#[tokio::test]
async fn each_owner_has_an_install() {
    let world = World::new().await;
    let mine = world.install().await;
    let mut theirs = request();
    theirs.owner = Owner::Org;
    let theirs = world.orchestrator().install(theirs).await.expect("install");
    assert_ne!(mine.name, theirs.name);
    assert_eq!(world.installs().await.len(), 2);
}

#[tokio::test]
async fn remote_server_is_not_run() {
    let world = World::new().await;
    let mut remote = ServerSpec::remote("remote", "https://api.example.com/mcp").expect("a server");
    remote.fields.push(Field::bearer("token").expect("a field"));
    world.put(remote.clone()).await;
    let request = InstallRequest::new(remote.name, Owner::Org).answers(Answers::new().secret("token", "t"));
    let install = world.orchestrator().install(request).await.expect("install");
    assert!(install.is_ready());
    assert_eq!(world.runtime.list().await.expect("list"), []);
}

#[tokio::test]
async fn unknown_server_is_not_found() {
    let world = World::new().await;
    let request = InstallRequest::new(sample::server_name("nowhere"), Owner::Org);
    let error = world.orchestrator().install(request).await.expect_err("unknown");
    assert_eq!(error.to_string(), "no server named \"nowhere\"");
    assert_eq!(world.installs().await, []);
}

#[tokio::test]
async fn failure_is_recorded_and_retried() {
    let world = World::new().await;
    let failure = Failure::new(FailureKind::Image, "image \"acme/time:9\" cannot be pulled").remedy("fix the tag");
    world.runtime.becomes(
        &server().name,
        Status::Failed {
            failure: failure.clone(),
        },
    );
    let error = world.orchestrator().install(request()).await.expect_err("no image");
    let line = "install \"time\" for team \"web\" is not ready: image \"acme/time:9\" cannot be pulled";
    assert_eq!(error.to_string(), line);
    assert_eq!(error.remedy().as_deref(), Some("fix the tag"));
    let [install] = world.installs().await.try_into().expect("one");
    assert_eq!(install.state, InstallState::Failed { failure });

    world.runtime.becomes(&server().name, Status::Ready);
    let mended = world.install().await;
    assert_eq!((mended.name, mended.is_ready()), (install.name, true));
}

#[tokio::test]
async fn refused_run_spec_is_a_failure() {
    let world = World::new().await;
    let mut broken = server();
    broken.source = Source::Command {
        program: "serve".into(),
        args: vec!["${user_config.nothing}".into()],
        transport: Default::default(),
    };
    world.put(broken).await;
    let error = world
        .orchestrator()
        .install(request())
        .await
        .expect_err("no such field");
    assert!(
        error.to_string().contains("${user_config.nothing} stands for no field"),
        "{error}"
    );
}

#[tokio::test(start_paused = true)]
async fn deadline_names_last_status() {
    let world = World::new().await;
    let cause = Some("pulling the image".to_owned());
    world.runtime.becomes(&server().name, Status::Pending { cause });
    let begun = tokio::time::Instant::now();
    let error = world.orchestrator().install(request()).await.expect_err("never ready");
    assert_eq!(begun.elapsed(), Duration::from_secs(120));
    assert!(error.is_retryable());
    let end = "not ready after 120 s; the last that was heard of it: starting: pulling the image";
    assert!(error.to_string().ends_with(end), "{error}");
}

#[tokio::test(start_paused = true)]
async fn discovery_retries_connection_failures() {
    let world = World::new().await;
    world
        .discovery
        .set(Err(Failure::new(FailureKind::Connection, "connection refused")));
    let discovery = world.discovery.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(20)).await;
        discovery.set(Ok(Vec::new()));
    });
    assert!(world.install().await.tools.is_empty());
}

#[tokio::test(start_paused = true)]
async fn discovery_fails_fast_on_protocol_errors() {
    let world = World::new().await;
    world
        .discovery
        .set(Err(Failure::new(FailureKind::Protocol, "it speaks no MCP")));
    let begun = tokio::time::Instant::now();
    let error = world.orchestrator().install(request()).await.expect_err("no MCP");
    assert!(begun.elapsed() < Duration::from_secs(1));
    assert!(matches!(error, Error::NotReady { failure, .. } if failure.kind == FailureKind::Protocol));
}

#[tokio::test]
async fn refreshed_tools_are_published() {
    let world = World::new().await;
    let install = world.install().await;
    world.discovery.set(Ok(vec![sample::tool(r#"{"name":"new"}"#)]));
    let refreshed = world
        .orchestrator()
        .refresh_tools(&install.name)
        .await
        .expect("refresh");
    assert_eq!(refreshed.tools[0].name().as_str(), "new");
    let publication = world
        .gateway
        .publication(&sample::gateway_name("all"))
        .expect("published");
    assert_eq!(
        publication.routes[0].installs.iter().next().expect("an install").tools,
        refreshed.tools
    );
}

#[tokio::test(start_paused = true)]
async fn failed_refresh_keeps_tools() {
    let world = World::new().await;
    let install = world.install().await;
    world
        .discovery
        .set(Err(Failure::new(FailureKind::Connection, "connection refused")));
    world
        .orchestrator()
        .refresh_tools(&install.name)
        .await
        .expect_err("refused");
    assert_eq!(world.installs().await, [install]);
}
