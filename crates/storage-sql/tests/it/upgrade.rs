//! Databases of earlier releases, with data in them.

use std::sync::Arc;

use portolan_core::{RegistryExt, SessionStore, SystemClock, Version};
use portolan_storage_sql::{SealingKeys, SqlStore};

use crate::support::{Place, keys, put_secret, raw, secret, told};

/// Schema 1, where sealing keys sealed directly: 20 secrets by the key of ones, then 20 by that of twos.
const SCHEMA_1: &[u8] = include_bytes!("fixtures/schema_1.db");

fn both() -> SealingKeys {
    SealingKeys::new(&[2; 32])
        .and_then(|keys| keys.with_older(&[1; 32]))
        .expect("keys")
}

fn old_database() -> Place {
    let place = Place::new();
    std::fs::write(place.database(), SCHEMA_1).expect("written");
    place
}

async fn open(place: &Place, keys: SealingKeys) -> SqlStore {
    SqlStore::open(place.database(), keys, Arc::new(SystemClock))
        .await
        .expect("the store opens")
}

async fn assert_secrets(store: &SqlStore) {
    for round in 0..2 {
        for number in 0..20 {
            let found = secret(store, &format!("old/{round}/{number}")).await.expect("read");
            assert_eq!(found, Some(format!("secret {round} {number}")));
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
async fn schema_1_is_kept() {
    let place = old_database();
    let store = open(&place, both()).await;
    assert_secrets(&store).await;
    assert_eq!(store.servers().await.expect("servers").len(), 38);
    let state = SessionStore::get(&store, "s", jiff::Timestamp::UNIX_EPOCH)
        .await
        .expect("get");
    assert_eq!(state.expect("is there").value, "state");
}

#[tokio::test]
async fn directly_sealed_secrets_are_converted() {
    let place = old_database();
    let store = open(&place, both()).await;
    let before = versions(&place).await;
    put_secret(&store, "old/0/0", "secret 0 0")
        .await
        .expect("put by envelope");
    let done = store.rewrap().await.expect("rewrapped");
    assert_eq!((done.rewrapped, done.failed), (39, 0), "{done:?}");
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
    let alone = SealingKeys::new(&[2; 32]).expect("a key");
    assert_secrets(&open(&place, alone).await).await;
    assert_eq!(store_again(&place).await, 0, "nothing is left to do");
}

async fn store_again(place: &Place) -> u64 {
    open(place, both()).await.rewrap().await.expect("rewrapped").rewrapped
}

#[tokio::test]
async fn schema_1_needs_its_keys() {
    let place = old_database();
    for wrong in [keys(1), keys(2), keys(3)] {
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
    assert_eq!(store.rewrap().await.expect("rewrapped").rewrapped, 40);
    store.close().await;
    let store = SqlStore::open(place.database(), provider, Arc::new(SystemClock))
        .await
        .expect("moved over");
    assert_secrets(&store).await;
    let read = portolan_core::CredentialReader::read(&store, &crate::support::credential("old/0/0")).await;
    let version: Version = read.expect("read").expect("is there").version;
    assert!(version.0.get() > 0);
}
