//! Backup files.

use std::sync::Arc;

use portolan_core::{Error, Precondition, Registry, Revision, SystemClock};
use portolan_storage_sql::{BackupKey, SqlStore};

use crate::{
    shared_backup::{content, fill},
    support::{Place, keys, server},
};

fn key() -> BackupKey {
    BackupKey::new([7; 32])
}

/// An empty store with sealing keys of its own.
async fn empty(place: &Place) -> SqlStore {
    SqlStore::open(place.database(), keys(2), Arc::new(SystemClock))
        .await
        .expect("the store opens")
}

async fn exported(installs: u128) -> (SqlStore, Vec<u8>) {
    let place = Place::new();
    let (store, mut file) = (place.store().await, Vec::new());
    fill(&store, installs).await;
    store.export(&key(), &mut file).await.expect("exported");
    (store, file)
}

#[tokio::test]
async fn installation_moves_whole() {
    let from = Place::new();
    let store = from.store().await;
    // More than a page of each.
    fill(&store, 1_200).await;
    let mut file = Vec::new();
    let out = store.export(&key(), &mut file).await.expect("exported");
    assert_eq!((out.tool_sets, out.secrets), (1, 1_200), "{out:?}");
    let to = Place::new();
    let other = empty(&to).await;
    let into = other.import(&key(), file.as_slice()).await.expect("imported");
    assert_eq!(into, out);
    assert_eq!(content(&other).await, content(&store).await);
    let mut again = Vec::new();
    assert_eq!(other.export(&key(), &mut again).await.expect("exported"), out);
}

#[tokio::test]
async fn follower_sees_imported_records() {
    use futures_util::StreamExt;
    let (_store, file) = exported(3).await;
    let place = Place::new();
    let other = empty(&place).await;
    let mut changes = other.changes(Revision(0));
    let out = other.import(&key(), file.as_slice()).await.expect("imported");
    for _ in 0..out.records {
        changes.next().await.expect("a change").expect("no error");
    }
}

#[tokio::test]
async fn broken_off_import_leaves_nothing() {
    let (_store, file) = exported(300).await;
    let place = Place::new();
    let other = empty(&place).await;
    for part in 1..20 {
        let cut = &file[..file.len() * part / 20];
        let error = other.import(&key(), cut).await.expect_err("refused");
        assert!(error.to_string().contains("ends in the middle"), "{error}");
        assert!(content(&other).await.is_empty(), "nothing at {part}/20");
    }
    other.import(&key(), file.as_slice()).await.expect("imported");
}

#[tokio::test]
async fn dropped_import_leaves_nothing() {
    let (_store, file) = exported(50).await;
    let place = Place::new();
    let other = empty(&place).await;
    let (mut to, from) = tokio::io::duplex(1024);
    {
        let key = key();
        let import = other.import(&key, from);
        tokio::pin!(import);
        let half = &file[..file.len() / 2];
        tokio::select! {
            ended = &mut import => panic!("{ended:?}"),
            sent = tokio::io::AsyncWriteExt::write_all(&mut to, half) => sent.expect("sent"),
        }
    }
    assert!(content(&other).await.is_empty());
    other.import(&key(), file.as_slice()).await.expect("imported");
}

#[tokio::test]
async fn store_with_records_is_refused() {
    let (_store, file) = exported(1).await;
    let place = Place::new();
    let other = empty(&place).await;
    Registry::put(&other, server("here"), Precondition::Absent)
        .await
        .expect("put");
    let error = other.import(&key(), file.as_slice()).await.expect_err("refused");
    assert!(
        matches!(error, Error::Invalid { .. }) && error.to_string().contains("empty database"),
        "{error}"
    );
    assert_eq!(content(&other).await.len(), 1);
}

#[tokio::test]
async fn other_key_and_other_file_are_refused() {
    let (_store, file) = exported(1).await;
    let place = Place::new();
    let other = empty(&place).await;
    let wrong = BackupKey::new([8; 32]);
    for (key, file, says) in [
        (&wrong, file.as_slice(), "does not open with this key"),
        (&key(), [b'{'; 100].as_slice(), "no backup of Portolan"),
    ] {
        let error = other.import(key, file).await.expect_err("refused");
        assert!(
            matches!(error, Error::Invalid { .. }) && error.to_string().contains(says),
            "{error}"
        );
    }
}

#[tokio::test]
async fn file_holds_no_secret_in_clear() {
    let (_store, file) = exported(1_000).await;
    assert!(!file.windows(8).any(|window| window == b"planted-"));
}

#[tokio::test]
async fn export_is_of_one_moment() {
    let place = Place::new();
    let store = place.store().await;
    fill(&store, 600).await;
    let (before, mut file) = (content(&store).await, Vec::new());
    let writing = async {
        for number in 0..50 {
            let name = format!("later-{number}");
            Registry::put(&store, server(&name), Precondition::Absent)
                .await
                .expect("put");
        }
    };
    let key = key();
    // The snapshot is taken before the first page, so all of the later ones are in it or none is.
    let (out, ()) = tokio::join!(store.export(&key, &mut file), writing);
    out.expect("exported");
    let other_place = Place::new();
    let other = empty(&other_place).await;
    other.import(&key, file.as_slice()).await.expect("imported");
    let moved = content(&other).await;
    let later = (0..50)
        .take_while(|number| moved.keys().any(|key| key.contains(&format!("\"later-{number}\""))))
        .count();
    assert_eq!(
        moved.len(),
        before.len() + later,
        "a prefix of what was written meanwhile"
    );
}
