//! The suites of core on what this crate implements.

use std::{collections::BTreeMap, sync::Arc};

use http::{HeaderMap, HeaderValue, header::AUTHORIZATION};
use portolan_core::{
    Caller, CredentialKey, CredentialStore, Discovery, Endpoint, Field, FieldKey, HttpEndpoint, Install, Owner,
    Precondition, Secret, ServerSnapshot, ServerSpec, Subject, UpstreamCredential,
    conformance::{authenticator, broker, discovery, sample},
    memory::MemoryCredentials,
};
use portolan_fixtures::everything::{Everything, Options};
use portolan_gateway::{McpGateway, StoredCredentials};

use crate::support::gateway::{gateway_name, parts, tokens, user};

portolan_core::conformance::authenticator_suite!(|| static_tokens());
portolan_core::conformance::broker_suite!(async || stored_credentials().await);
portolan_core::conformance::discovery_suite!(async || paged_server().await);

fn static_tokens() -> authenticator::Fixture {
    let headers = |value| HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_static(value))]);
    authenticator::Fixture::new(
        Arc::new(tokens()),
        gateway_name("default"),
        headers("Bearer alice-token"),
        headers("Bearer ptl_unknown"),
    )
}

async fn stored_credentials() -> broker::Fixture {
    let server = ServerSpec::remote("docs", "https://docs.example.com/mcp")
        .expect("a server")
        .field(Field::bearer("token").expect("a field"));
    let key = CredentialKey::parse("docs/token").expect("a key");
    let store = MemoryCredentials::new();
    let secret = Secret::new("alice-s3cr3t");
    store.put(&key, secret, Precondition::None).await.expect("put");
    let install = |number| {
        let owner = Owner::Personal(user("alice"));
        Install::new(
            sample::install_name(number),
            server.name.clone(),
            owner,
            sample::time(0),
        )
    };
    let mut complete = install(1);
    complete.secrets = BTreeMap::from([(FieldKey::parse("token").expect("a key"), key)]);
    let caller = |name| Caller::new(Subject::User(user(name)), "token");
    let broker = Arc::new(StoredCredentials::new(Arc::new(store)));
    let mut fixture = broker::Fixture::new(broker, server.clone(), complete, caller("alice"), caller("bob"));
    fixture.incomplete = Some(install(2));
    fixture
}

/// A server whose lists come two by two, and what it lists when they come whole.
async fn paged_server() -> discovery::Fixture {
    let names = snapshot(None).await.tools;
    let names = names.iter().map(|tool| tool.name().to_string());
    discovery::Fixture::new(Arc::new(McpGateway::new(parts())), server(Some(2)).await, names)
}

async fn server(page: Option<usize>) -> Endpoint {
    let options = Options {
        page,
        ..Options::default()
    };
    let server = Everything::start(options).await.expect("a server");
    let url = server.url().parse().expect("a URL");
    // It serves until the test's runtime ends.
    std::mem::forget(server);
    Endpoint::Http(HttpEndpoint::new(url))
}

async fn snapshot(page: Option<usize>) -> ServerSnapshot {
    let snapshot = McpGateway::new(parts())
        .snapshot(&server(page).await, &UpstreamCredential::none())
        .await;
    snapshot.expect("the server answers")
}

#[tokio::test]
async fn snapshot_reads_all_lists() {
    let whole = snapshot(None).await;
    assert!(whole.tools.len() > 30 && whole.prompts.len() > 2, "{whole:?}");
    assert_eq!((whole.resources.len(), whole.templates.len()), (3, 1));
    assert_eq!(snapshot(Some(2)).await, whole);
}
