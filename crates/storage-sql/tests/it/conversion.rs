//! Secrets that earlier releases sealed with a sealing key directly.

use std::sync::Arc;

use portolan_core::SystemClock;
use portolan_storage_sql::{SealingKeys, SqlStore};

use crate::{
    support::{Place, keys, put_secret, raw, secret, told},
    upgrade::fixture,
};

/// A database of schema 1 with 23 secrets by two keys.
fn old_database() -> Place {
    let place = Place::new();
    fixture(&place, "schema-1");
    place
}

/// Its keys.
fn both() -> SealingKeys {
    fixture(&Place::new(), "schema-1")
}

async fn open(place: &Place, keys: SealingKeys) -> SqlStore {
    SqlStore::open(place.database(), keys, Arc::new(SystemClock))
        .await
        .expect("the store opens")
}

async fn assert_secrets(store: &SqlStore) {
    for number in [0, 1, 2, 10] {
        for age in ["old", "new"] {
            let found = secret(store, &format!("{age}/{number}")).await.expect("read");
            assert_eq!(found, Some(format!("{age} secret {number}")));
        }
    }
}

async fn versions(place: &Place) -> Vec<(String, i64)> {
    sqlx::query_as("SELECT key, version FROM portolan_secrets ORDER BY key")
        .fetch_all(&mut raw(&place.database()).await)
        .await
        .expect("versions")
}

#[tokio::test]
async fn directly_sealed_secrets_are_converted() {
    let place = old_database();
    let store = open(&place, both()).await;
    let before = versions(&place).await;
    put_secret(&store, "old/0", "old secret 0")
        .await
        .expect("put by envelope");
    let done = store.rewrap().await.expect("rewrapped");
    assert_eq!((done.rewrapped, done.failed), (22, 0), "{done:?}");
    assert_eq!(
        (done.unused.len(), done.in_use.len()),
        (1, 0),
        "the older key: {done:?}"
    );
    assert_secrets(&store).await;
    let after = versions(&place).await;
    assert_eq!(before.iter().zip(&after).filter(|(old, new)| old != new).count(), 1);

    // The older key is needed no more.
    store.close().await;
    let alone = SealingKeys::new(&[0x22; 32]).expect("a key");
    assert_secrets(&open(&place, alone).await).await;
    assert_eq!(store_again(&place).await, 0, "nothing is left to do");
}

async fn store_again(place: &Place) -> u64 {
    open(place, both()).await.rewrap().await.expect("rewrapped").rewrapped
}

#[tokio::test]
async fn schema_1_needs_its_keys() {
    let place = old_database();
    for wrong in [keys(0x11), keys(0x22), keys(3)] {
        let refused = SqlStore::open(place.database(), wrong, Arc::new(SystemClock)).await;
        let text = told(&refused.expect_err("a key is missing"));
        assert!(
            text.contains("not among the given") && text.contains("needs other keys"),
            "{text}"
        );
    }
    assert_secrets(&open(&place, both()).await).await;
}

#[tokio::test]
async fn provider_alone_does_not_open_schema_1() {
    let place = old_database();
    let provider: Arc<dyn portolan_core::KeyProvider> = Arc::new(portolan_core::memory::MemoryKeys::new());
    let refused = SqlStore::open(place.database(), provider.clone(), Arc::new(SystemClock)).await;
    let text = told(&refused.expect_err("its keys are missing"));
    assert!(text.contains("Keyring::with_older"), "{text}");

    let keyring = portolan_storage_sql::Keyring::from(provider.clone()).with_older(both());
    let store = SqlStore::open(place.database(), keyring, Arc::new(SystemClock))
        .await
        .expect("opens");
    assert_eq!(store.rewrap().await.expect("rewrapped").rewrapped, 23);
    store.close().await;
    let store = SqlStore::open(place.database(), provider, Arc::new(SystemClock))
        .await
        .expect("moved over");
    assert_secrets(&store).await;
}
