//! Which callers share a catalogue, how long it lives, and what makes it stale.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use portolan_core::{Owner, Route, ServerSpec, Tool, UpstreamCredential};
use serde_json::value::RawValue;

use super::{CallerBroker, bearer, gateway, personal};
use crate::support::{
    client::ClientVersion,
    gateway::{TestGateway, install},
    servers::notifying::NotifyingServer,
};

/// The scopes of one server whose lists are kept.
const SCOPES: usize = 256;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_named_scope_is_fetched_once() {
    let upstream = personal().await;
    let broker = CallerBroker::new(|name| bearer(name).with_scope("team"));
    let gateway = gateway(&upstream, broker).start().await;
    let alice = gateway.client(ClientVersion::V2026_07_28);
    let bob = gateway.client(ClientVersion::V2026_07_28).token("bob-token");
    assert_eq!(alice.tools().await, ["up__only_alice", "up__shared"]);
    assert_eq!(bob.tools().await, ["up__only_alice", "up__shared"]);
    assert_eq!(upstream.count_of("tools/list"), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn named_scope_survives_new_token() {
    let upstream = personal().await;
    let tokens = AtomicUsize::new(0);
    let broker = CallerBroker::new(move |name| {
        let number = tokens.fetch_add(1, Ordering::Relaxed);
        bearer(&format!("{name}-{number}")).with_scope(name)
    });
    let gateway = gateway(&upstream, broker).start().await;
    let alice = gateway.client(ClientVersion::V2026_07_28);
    for _ in 0..3 {
        assert_eq!(alice.tools().await, ["up__only_alice", "up__shared"]);
    }
    assert_eq!(upstream.count_of("tools/list"), 1);
    // A token alone is a scope of its own.
    let tokens = AtomicUsize::new(0);
    let broker = CallerBroker::new(move |name| bearer(&format!("{name}-{}", tokens.fetch_add(1, Ordering::Relaxed))));
    let gateway = super::gateway(&upstream, broker).start().await;
    let alice = gateway.client(ClientVersion::V2026_07_28);
    for _ in 0..3 {
        alice.tools().await;
    }
    assert_eq!(upstream.count_of("tools/list"), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scopes_per_server_are_bounded() {
    let upstream = personal().await;
    let scope = Arc::new(AtomicUsize::new(0));
    let now = scope.clone();
    let broker = CallerBroker::new(move |name| bearer(name).with_scope(now.load(Ordering::Relaxed).to_string()));
    let gateway = gateway(&upstream, broker).start().await;
    let alice = gateway.client(ClientVersion::V2026_07_28);
    let fetched = async |number: usize| {
        let before = upstream.count_of("tools/list");
        scope.store(number, Ordering::Relaxed);
        alice.tools().await;
        upstream.count_of("tools/list") > before
    };
    for number in 0..SCOPES {
        assert!(fetched(number).await, "{number}");
    }
    assert!(!fetched(0).await, "all are kept");
    assert!(fetched(SCOPES).await);
    assert!(!fetched(0).await, "it was used after the others");
    assert!(fetched(1).await, "it was used longest ago");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn change_makes_all_scopes_stale() {
    for modern in [false, true] {
        let upstream = NotifyingServer::start(modern).await;
        let gateway = TestGateway::builder()
            .server("up", upstream.url())
            .broker(CallerBroker::by_name())
            .start()
            .await;
        let alice = gateway.client(ClientVersion::V2026_07_28);
        let bob = gateway.client(ClientVersion::V2026_07_28).token("bob-token");
        for client in [&alice, &bob] {
            assert_eq!(client.tools().await, ["up__t"]);
        }
        let (mut stream, _) = alice.listen("1", r#""toolsListChanged":true"#).await;
        upstream.set_tools(&["t", "u"]);
        assert_eq!(bob.tools().await, ["up__t"], "it is kept");
        assert_eq!(upstream.tools_changed(), 1, "only alice listens");
        stream.json().await;
        for client in [&alice, &bob] {
            assert_eq!(client.tools().await, ["up__t", "up__u"], "modern: {modern}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn known_tools_seed_only_shared_scope() {
    let upstream = personal().await;
    // Bob has no credential of his own.
    let broker = CallerBroker::new(|name| match name {
        "bob" => UpstreamCredential::none(),
        name => bearer(name),
    });
    let gateway = TestGateway::builder().unpublished().broker(broker).start().await;
    let server = Arc::new(ServerSpec::remote("up", upstream.url()).expect("a server"));
    let mut known = (*install(&server, Owner::Org)).clone();
    let definition = RawValue::from_string(r#"{"name":"known","inputSchema":{"type":"object"}}"#.into());
    known.tools = vec![Tool::parse(definition.expect("JSON")).expect("a tool")].into();
    gateway
        .publish_routes("default", vec![Route::new(server, vec![known.into()], true)])
        .await;
    let alice = gateway.client(ClientVersion::V2026_07_28);
    let bob = gateway.client(ClientVersion::V2026_07_28).token("bob-token");
    assert_eq!(bob.tools().await, ["up__known"]);
    assert_eq!(upstream.count_of("tools/list"), 0);
    assert_eq!(alice.tools().await, ["up__only_alice", "up__shared"]);
    assert_eq!(upstream.count_of("tools/list"), 1);
    assert_eq!(bob.tools().await, ["up__known"]);
}
