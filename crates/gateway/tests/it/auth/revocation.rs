//! Tokens that are revoked.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::{StreamExt, stream, stream::BoxStream};
use portolan_core::{
    Change, Key, Page, Precondition, Record, RecordKind, Registry, Result, Revision, Subject, SystemClock, Version,
    Versioned, memory::MemoryRegistry,
};
use portolan_gateway::{StaticTokens, digest};
use tokio::sync::Notify;

use super::{published, unauthorized};
use crate::support::{
    client::ClientVersion,
    gateway::{TestGateway, grant, user},
    upstreams::{Eras, http},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn registry_token_revoked_within_second() {
    let upstream = http(Eras::Both).await;
    let registry = Arc::new(MemoryRegistry::new());
    let tokens = StaticTokens::follow(registry.clone(), Arc::new(SystemClock))
        .await
        .expect("tokens");
    let gateway = TestGateway::builder().unpublished().authenticator(tokens).start().await;
    published(&upstream, &gateway, "default", &[]).await;
    for round in 0..5 {
        let token = format!("ptl_token-{round}");
        let client = gateway.client(ClientVersion::V2026_07_28).token(&token);
        unauthorized(&client.call_method("tools/list", "").await, Some("invalid_token"));
        let record = Record::Token(grant(&token, Subject::User(user("alice"))));
        registry.put(record, Precondition::Absent).await.expect("put");
        assert_eq!(
            client.call_method("tools/list", "").await.status(),
            200,
            "a new token is good at once"
        );
        registry
            .remove(&Key::Token(digest(&token)), Precondition::None)
            .await
            .expect("removed");
        let revoked = Instant::now();
        while client.call_method("tools/list", "").await.status() == 200 {
            assert!(
                revoked.elapsed() < Duration::from_secs(1),
                "a revoked token still opens"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn token_revoked_during_first_use() {
    let registry = Arc::new(MemoryRegistry::new());
    let tokens = StaticTokens::follow(registry.clone(), Arc::new(SystemClock))
        .await
        .expect("tokens");
    let upstream = http(Eras::Both).await;
    let gateway = TestGateway::builder().unpublished().authenticator(tokens).start().await;
    published(&upstream, &gateway, "default", &[]).await;
    for round in 0..100 {
        let token = format!("ptl_token-{round}");
        let client = gateway.client(ClientVersion::V2026_07_28).token(&token);
        let record = Record::Token(grant(&token, Subject::User(user("alice"))));
        registry.put(record, Precondition::Absent).await.expect("put");
        let key = Key::Token(digest(&token));
        let (_, removed) = tokio::join!(
            client.call_method("tools/list", ""),
            registry.remove(&key, Precondition::None)
        );
        removed.expect("removed");
        let revoked = Instant::now();
        while client.call_method("tools/list", "").await.status() == 200 {
            assert!(
                revoked.elapsed() < Duration::from_secs(1),
                "a revoked token still opens"
            );
        }
    }
}

/// A registry whose feed begins late, and one of whose answers can be held back after it was read.
#[derive(Debug)]
struct PausedRegistry {
    registry: Arc<MemoryRegistry>,
    feed: Arc<Notify>,
    pausing: AtomicBool,
    read: Notify,
    continue_: Notify,
}

#[async_trait::async_trait]
impl Registry for PausedRegistry {
    async fn get(&self, key: &Key) -> Result<Option<Versioned<Record>>> {
        let found = self.registry.get(key).await;
        if self.pausing.swap(false, Ordering::SeqCst) {
            self.read.notify_one();
            self.continue_.notified().await;
        }
        found
    }

    async fn put(&self, record: Record, when: Precondition) -> Result<Version> {
        self.registry.put(record, when).await
    }

    async fn remove(&self, key: &Key, when: Precondition) -> Result<()> {
        self.registry.remove(key, when).await
    }

    async fn list(&self, kind: RecordKind, page: Page) -> Result<Vec<Versioned<Record>>> {
        self.registry.list(kind, page).await
    }

    fn changes(&self, since: Revision) -> BoxStream<'static, Result<Change>> {
        let (registry, feed) = (self.registry.clone(), self.feed.clone());
        let begun = stream::once(async move { feed.notified().await });
        begun.flat_map(move |()| registry.changes(since)).boxed()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn token_revoked_during_lookup() {
    let registry = Arc::new(PausedRegistry {
        registry: Arc::new(MemoryRegistry::new()),
        feed: Arc::default(),
        pausing: AtomicBool::new(false),
        read: Notify::new(),
        continue_: Notify::new(),
    });
    let tokens = StaticTokens::follow(registry.clone(), Arc::new(SystemClock))
        .await
        .expect("tokens");
    let upstream = http(Eras::Both).await;
    let gateway = TestGateway::builder().unpublished().authenticator(tokens).start().await;
    published(&upstream, &gateway, "default", &[]).await;
    let client = gateway.client(ClientVersion::V2026_07_28).token("ptl_late");
    let key = Key::Token(digest("ptl_late"));
    let record = Record::Token(grant("ptl_late", Subject::User(user("alice"))));
    registry.put(record, Precondition::Absent).await.expect("put");
    registry.pausing.store(true, Ordering::SeqCst);
    let first_use = client.call_method("tools/list", "");
    let revoking = async {
        registry.read.notified().await;
        registry.remove(&key, Precondition::None).await.expect("removed");
        registry.feed.notify_one();
        // Long enough for the change to be followed, if it does not wait for its turn.
        tokio::time::sleep(Duration::from_millis(50)).await;
        registry.continue_.notify_one();
    };
    tokio::join!(first_use, revoking);
    let revoked = Instant::now();
    while client.call_method("tools/list", "").await.status() == 200 {
        assert!(
            revoked.elapsed() < Duration::from_secs(1),
            "a revoked token still opens"
        );
    }
}
