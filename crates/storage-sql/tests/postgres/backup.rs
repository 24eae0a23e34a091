//! Moving between dialects.

use std::sync::Arc;

use portolan_core::SystemClock;
use portolan_storage_sql::{BackupKey, SqlStore};

use crate::{
    shared_backup::{content, fill},
    support::{Address, Schema, fresh, keys},
};

fn key() -> BackupKey {
    BackupKey::new([7; 32])
}

/// From SQLite to PostgreSQL, and back.
async fn moves_both_ways(address: Address) {
    let place = tempfile::tempdir().expect("a directory");
    let store = SqlStore::open(place.path().join("a.db"), keys(2), Arc::new(SystemClock))
        .await
        .expect("opens");
    fill(&store, 700).await;
    let (before, mut file) = (content(&store).await, Vec::new());
    let out = store.export(&key(), &mut file).await.expect("exported");
    let postgres = fresh(address).await;
    assert_eq!(postgres.import(&key(), file.as_slice()).await.expect("imported"), out);
    assert_eq!(content(&postgres).await, before);

    let mut file = Vec::new();
    assert_eq!(postgres.export(&key(), &mut file).await.expect("exported"), out);
    let back = SqlStore::open(place.path().join("b.db"), keys(3), Arc::new(SystemClock))
        .await
        .expect("opens");
    assert_eq!(back.import(&key(), file.as_slice()).await.expect("imported"), out);
    assert_eq!(content(&back).await, before);
}

#[tokio::test]
async fn installation_moves_both_ways() {
    moves_both_ways(Address::Direct).await;
}

#[tokio::test]
async fn installation_moves_through_a_pooler() {
    moves_both_ways(Address::OldPooler).await;
}

#[tokio::test]
async fn broken_off_import_leaves_nothing() {
    let schema = Schema::new(Address::Direct);
    let store = schema.store().await;
    fill(&store, 200).await;
    let mut file = Vec::new();
    store.export(&key(), &mut file).await.expect("exported");
    let other = fresh(Address::Direct).await;
    for part in 1..10 {
        let cut = &file[..file.len() * part / 10];
        other.import(&key(), cut).await.expect_err("refused");
        assert!(content(&other).await.is_empty(), "nothing at {part}/10");
    }
}
