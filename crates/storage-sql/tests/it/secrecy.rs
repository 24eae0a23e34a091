//! Secrets stay secret, and in their place.

use std::sync::Arc;

use portolan_core::{CredentialStore, Error, OneTimeStore, Secret, SystemClock};
use portolan_storage_sql::{SealingKeys, SqlStore};

use crate::support::{Place, credential, keys, open, put_secret, raw, secret, told};

async fn put(store: &SqlStore, path: &str, text: &str) {
    put_secret(store, path, text).await.expect("put");
}

#[tokio::test]
async fn no_file_holds_a_secret() {
    let place = Place::new();
    let store = place.store().await;
    let planted: Vec<String> = (0..1_000)
        .map(|number| format!("planted-{number:04}-{:x}", number * 7_919))
        .collect();
    let (now, later) = (jiff::Timestamp::UNIX_EPOCH, jiff::Timestamp::MAX);
    // A third each: secrets, payloads of one-time records, and their ids, which may be authorization codes.
    for (number, text) in planted.iter().enumerate() {
        if number % 3 > 0 {
            let (id, payload) = if number % 3 == 1 {
                ("id", text.as_str())
            } else {
                (text.as_str(), "payload")
            };
            let id = format!("{id}-{number}");
            OneTimeStore::put(&store, "code", &id, Secret::new(payload), later, now)
                .await
                .expect("put");
            if number % 5 == 0 {
                store.take("code", &id, now).await.expect("take").expect("is there");
            }
            continue;
        }
        put(&store, &format!("a/{number}"), text).await;
        if number % 2 == 0 {
            put(&store, &format!("a/{number}"), &format!("again {text}")).await;
        }
        if number % 5 == 0 {
            store
                .remove(&credential(&format!("a/{number}")))
                .await
                .expect("removed");
        }
    }
    let look = || {
        let mut seen = Vec::new();
        for entry in std::fs::read_dir(place.path("")).expect("the place") {
            let path = entry.expect("entry").path();
            seen.push(
                path.extension()
                    .map(|end| end.to_string_lossy().into_owned())
                    .unwrap_or_default(),
            );
            let bytes = std::fs::read(&path).expect("read");
            let text = String::from_utf8_lossy(&bytes);
            // All of them begin so, and nothing else does.
            assert!(!text.contains("planted-"), "a planted text is in {path:?}");
        }
        seen.sort();
        seen
    };
    assert_eq!(look(), ["db", "db-shm", "db-wal"]);
    store.close().await;
    assert_eq!(look(), ["db"]);
}

#[tokio::test]
async fn sealed_row_is_bound_to_key_and_version() {
    let place = Place::new();
    let store = place.store().await;
    put(&store, "a", "of a").await;
    put(&store, "b", "of b").await;
    let mut connection = raw(&place.database()).await;
    let moves = [
        "UPDATE portolan_secrets SET (version, sealed, key_id, data_key) = \
         (SELECT version, sealed, key_id, data_key FROM portolan_secrets WHERE key = 'a') WHERE key = 'b'",
        "UPDATE portolan_secrets SET version = 77 WHERE key = 'a'",
    ];
    for sql in moves {
        sqlx::query(sql).execute(&mut connection).await.expect("moved");
    }
    for path in ["a", "b"] {
        let error = secret(&store, path).await.expect_err("does not open");
        let text = told(&error);
        assert!(
            matches!(error, Error::Backend { .. }) && text.contains("put it again"),
            "{text}"
        );
        assert!(!text.contains("of a") && !text.contains("of b"), "{text}");
    }
    put(&store, "b", "new").await;
    assert_eq!(secret(&store, "b").await.expect("read").as_deref(), Some("new"));
}

#[tokio::test]
async fn sealed_text_is_bound_to_its_data_key() {
    let place = Place::new();
    let store = place.store().await;
    put(&store, "a", "of a").await;
    put(&store, "b", "of b").await;
    let sql = "UPDATE portolan_secrets SET data_key = (SELECT data_key FROM portolan_secrets WHERE key = 'a')";
    let mut connection = raw(&place.database()).await;
    sqlx::query(sql).execute(&mut connection).await.expect("moved");
    assert_eq!(secret(&store, "a").await.expect("read").as_deref(), Some("of a"));
    secret(&store, "b").await.expect_err("does not open");
}

#[tokio::test]
async fn one_time_row_is_bound_to_id_and_expiry() {
    let place = Place::new();
    let store = place.store().await;
    let (now, later) = (jiff::Timestamp::UNIX_EPOCH, jiff::Timestamp::MAX);
    for id in ["a", "b", "c"] {
        OneTimeStore::put(&store, "code", id, Secret::new(id), later, now)
            .await
            .expect("put");
    }
    let mut connection = raw(&place.database()).await;
    let keys: Vec<String> = sqlx::query_scalar("SELECT key FROM portolan_one_time")
        .fetch_all(&mut connection)
        .await
        .expect("keys");
    let moves = [
        "UPDATE portolan_one_time SET (sealed, key_id, data_key) = \
         (SELECT sealed, key_id, data_key FROM portolan_one_time WHERE key = ?1) WHERE key = ?2",
        "UPDATE portolan_one_time SET expires_at = expires_at - 1 WHERE key = ?1",
    ];
    for sql in moves {
        let moved = sqlx::query(sql).bind(&keys[0]).bind(&keys[1]);
        moved.execute(&mut connection).await.expect("moved");
    }
    let mut opened = 0;
    for id in ["a", "b", "c"] {
        match store.take("code", id, now).await {
            Ok(taken) => {
                assert_eq!(taken.expect("is there").reveal(), id);
                opened += 1;
            }
            Err(error) => assert!(matches!(error, Error::Backend { .. }), "{error:?}"),
        }
    }
    assert_eq!(opened, 1, "the row that nobody touched");
}

#[tokio::test]
async fn other_keys_are_refused() {
    let place = Place::new();
    place.store().await.close().await;
    let before = std::fs::read(place.database()).expect("read");
    let error = SqlStore::open(place.database(), keys(2), Arc::new(SystemClock))
        .await
        .expect_err("other keys");
    let text = told(&error);
    assert!(matches!(error, Error::Invalid { .. }), "{text}");
    assert!(text.contains("portolan.db") && text.contains("with_older"), "{text}");
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    assert!(
        before == std::fs::read(place.database()).expect("read"),
        "the file was changed"
    );
    open(&place.database()).await.expect("its own keys fit");
}

#[tokio::test]
async fn keys_rotate_with_older_ones() {
    let place = Place::new();
    let store = place.store().await;
    put(&store, "a", "old").await;
    store.close().await;

    let both = || {
        SealingKeys::new(&[2; 32])
            .and_then(|keys| keys.with_older(&[1; 32]))
            .expect("keys")
    };
    let store = SqlStore::open(place.database(), both(), Arc::new(SystemClock))
        .await
        .expect("both fit");
    assert_eq!(secret(&store, "a").await.expect("read").as_deref(), Some("old"));
    put(&store, "b", "new").await;
    store.close().await;

    for alone in [keys(1), keys(2)] {
        let error = SqlStore::open(place.database(), alone, Arc::new(SystemClock))
            .await
            .expect_err("one is missing");
        assert!(told(&error).contains("not among the given"), "{}", told(&error));
    }
}

#[tokio::test]
async fn racing_openers_with_different_keys() {
    let place = Place::new();
    let opened = futures_util::future::join_all((1..=4).map(|byte| {
        let path = place.database();
        tokio::spawn(async move { SqlStore::open(path, keys(byte), Arc::new(SystemClock)).await })
    }));
    let opened = opened.await;
    let fit = opened.iter().flatten().filter(|store| store.is_ok()).count();
    assert_eq!(fit, 1, "{opened:?}");
}

#[tokio::test]
async fn debug_shows_no_key() {
    let place = Place::new();
    let shown = format!("{:?}", place.store().await);
    assert!(!shown.contains("1, 1, 1") && !shown.contains("0101"), "{shown}");
}

#[tokio::test]
async fn oversized_secret_is_refused() {
    let place = Place::new();
    let store = place.store().await;
    let text = "s3cr3t".repeat(1 << 18);
    let error = put_secret(&store, "a", &text).await.expect_err("too large");
    assert!(matches!(error, Error::Invalid { .. }) && !told(&error).contains("s3cr3t"));
    assert_eq!(secret(&store, "a").await.expect("read"), None);
}
