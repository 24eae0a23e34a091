//! Two gateways with the same keys and one session store are one gateway.

use std::{sync::Arc, time::Duration};

use portolan_core::{
    Clock, SessionStore, SystemClock,
    memory::{ManualClock, MemorySessions},
};
use portolan_gateway::{McpGateway, TokenKeys};
use serde_json::json;

use crate::support::{
    client::{Client, Speaks},
    until,
    world::{Eras, HttpFixture, Site, http, parts, publish},
};

async fn replica(upstream: &HttpFixture, sessions: &Arc<MemorySessions>, key: u8) -> Site {
    replica_at(upstream, sessions, key, Arc::new(SystemClock)).await
}

async fn replica_at(upstream: &HttpFixture, sessions: &Arc<MemorySessions>, key: u8, clock: Arc<dyn Clock>) -> Site {
    let mut parts = parts();
    parts.clock = clock;
    parts.keys = TokenKeys::new(1, &[key; 32]).expect("keys");
    parts.sessions = sessions.clone() as Arc<dyn SessionStore>;
    let site = Site::serve(McpGateway::new(parts)).await;
    publish(&site.gateway, "default", &[("up", &upstream.url())]).await;
    site
}

#[tokio::test]
async fn a_replica_serves_a_session_that_it_never_saw() {
    let upstream = http(Eras::Legacy).await;
    let sessions = Arc::default();
    let (first, second) = (
        replica(&upstream, &sessions, 7).await,
        replica(&upstream, &sessions, 7).await,
    );
    for speaks in [Speaks::March, Speaks::November] {
        let client = Client::connect(first.address, speaks).await;
        let there = client.at(second.address);
        assert_eq!(client.text("up__echo", json!({"text": "here"})).await, "here");
        assert_eq!(there.text("up__echo", json!({"text": "there"})).await, "there");
        let batch = client.bare(r#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#);
        let status = if speaks == Speaks::March { 200 } else { 400 };
        assert_eq!(there.send(&batch).await.status(), status, "the version went along");
    }
    assert_eq!(
        Client::connect(first.address, Speaks::June)
            .await
            .token("bob-token")
            .at(second.address)
            .ask("ping", "")
            .await
            .status(),
        404
    );
}

#[tokio::test]
async fn a_replica_with_another_key_knows_nothing() {
    let upstream = http(Eras::Both).await;
    let sessions = Arc::default();
    let (first, other) = (
        replica(&upstream, &sessions, 7).await,
        replica(&upstream, &sessions, 8).await,
    );
    let client = Client::connect(first.address, Speaks::November).await;
    assert_eq!(client.at(other.address).ask("ping", "").await.status(), 404);
}

#[tokio::test]
async fn a_session_ended_at_one_replica_is_unknown_to_one_that_never_saw_it() {
    let upstream = http(Eras::Both).await;
    let sessions = Arc::default();
    let (first, second) = (
        replica(&upstream, &sessions, 7).await,
        replica(&upstream, &sessions, 7).await,
    );
    let client = Client::connect(first.address, Speaks::November).await;
    assert_eq!(client.delete().await.status(), 204);
    assert_eq!(client.at(second.address).ask("ping", "").await.status(), 404);
    assert_eq!(client.at(second.address).delete().await.status(), 404);
}

#[tokio::test]
async fn a_session_ended_at_one_replica_ends_at_one_that_serves_it() {
    let upstream = http(Eras::Legacy).await;
    let (sessions, clock) = (Arc::default(), Arc::new(ManualClock::new(SystemClock.now())));
    let first = replica_at(&upstream, &sessions, 7, clock.clone()).await;
    let second = replica_at(&upstream, &sessions, 7, clock.clone()).await;
    let client = Client::connect(first.address, Speaks::November).await;
    let there = client.at(second.address);
    there.text("up__echo", json!({"text": "x"})).await;
    let before = upstream.sessions();
    assert_eq!(client.delete().await.status(), 204);
    clock.advance(Duration::from_secs(5));
    assert_eq!(there.ask("ping", "").await.status(), 404);
    until("its session upstream is ended too", || upstream.sessions() < before).await;
}
