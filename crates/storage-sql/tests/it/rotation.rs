//! Keys that are replaced, also while secrets are read.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::{StreamExt, stream};
use portolan_core::{CredentialReader, Error, KeyProvider, OneTimeStore, Secret, SystemClock};
use portolan_storage_sql::{Keyring, SealingKeys, SqlStore};

use crate::{
    remote::RemoteKeys,
    support::{Place, credential, keys, put_secret, raw, secret, told},
};

async fn open(place: &Place, keys: impl Into<Keyring>) -> SqlStore {
    SqlStore::open(place.database(), keys, Arc::new(SystemClock))
        .await
        .expect("the store opens")
}

fn provider(keys: &Arc<RemoteKeys>) -> Arc<dyn KeyProvider> {
    keys.clone()
}

async fn key_ids(place: &Place) -> Vec<String> {
    let sql = "SELECT key_id FROM portolan_secrets UNION SELECT key_id FROM portolan_keys ORDER BY 1";
    sqlx::query_scalar(sql)
        .fetch_all(&mut raw(&place.database()).await)
        .await
        .expect("ids")
}

async fn fill(store: &SqlStore, count: usize) {
    stream::iter(0..count)
        .for_each_concurrent(16, async |number| {
            put_secret(store, &format!("many/{number}"), &format!("secret {number}"))
                .await
                .expect("put");
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn reads_go_on_while_ten_thousand_secrets_rotate() {
    const SECRETS: usize = 10_000;
    let place = Place::new();
    let older = || SealingKeys::new(&[1; 32]).expect("a key");
    let store = open(&place, older()).await;
    fill(&store, SECRETS).await;
    store.close().await;

    let newer = SealingKeys::new(&[2; 32]).and_then(|keys| keys.with_older(&[1; 32]));
    let store = open(&place, newer.expect("keys")).await;
    let (done, reads) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let readers: Vec<_> = (0..4)
        .map(|reader| {
            let (store, done, reads) = (store.clone(), done.clone(), reads.clone());
            tokio::spawn(async move {
                for step in 0.. {
                    let number = (reader * 2_503 + step * 7_919) % SECRETS;
                    let found = secret(&store, &format!("many/{number}")).await.expect("no read fails");
                    assert_eq!(found, Some(format!("secret {number}")));
                    reads.fetch_add(1, Ordering::Relaxed);
                    if done.load(Ordering::Relaxed) {
                        break;
                    }
                }
            })
        })
        .collect();
    let rewrapped = store.rewrap().await.expect("rewrapped");
    done.store(true, Ordering::Relaxed);
    for reader in readers {
        reader.await.expect("no read failed");
    }
    assert_eq!((rewrapped.rewrapped, rewrapped.failed), (SECRETS as u64, 0));
    assert!(reads.load(Ordering::Relaxed) > 100, "{reads:?} reads went on meanwhile");

    store.close().await;
    let store = open(&place, keys(2)).await;
    for number in 0..SECRETS {
        let found = secret(&store, &format!("many/{number}")).await.expect("read");
        assert_eq!(found, Some(format!("secret {number}")), "without the older key");
    }
}

#[tokio::test]
async fn rotation_keeps_versions() {
    let (place, far) = (Place::new(), Arc::new(RemoteKeys::default()));
    let store = open(&place, provider(&far)).await;
    let version = put_secret(&store, "a", "one").await.expect("put");
    far.rotate();
    assert_eq!(store.rewrap().await.expect("rewrapped").rewrapped, 1);
    let found = store.read(&credential("a")).await.expect("read").expect("is there");
    assert_eq!(found.version, version);
    assert_eq!(key_ids(&place).await, ["far:2"]);
}

#[tokio::test]
async fn one_time_records_rotate() {
    let (place, far) = (Place::new(), Arc::new(RemoteKeys::default()));
    let store = open(&place, provider(&far)).await;
    let (now, later) = (jiff::Timestamp::UNIX_EPOCH, jiff::Timestamp::MAX);
    OneTimeStore::put(&store, "state", "a", Secret::new("payload"), later, now)
        .await
        .expect("put");
    OneTimeStore::put(&store, "jti", "a", Secret::new(""), later, now)
        .await
        .expect("put");
    far.rotate();
    let done = store.rewrap().await.expect("rewrapped");
    assert_eq!((done.rewrapped, done.unused), (1, vec!["far:1".to_owned()]));
    far.forget_older();
    store.close().await;
    let store = open(&place, provider(&far)).await;
    for (purpose, payload) in [("state", "payload"), ("jti", "")] {
        let taken = store.take(purpose, "a", now).await.expect("take").expect("is there");
        assert_eq!(taken.reveal(), payload);
    }
}

#[tokio::test]
async fn key_in_use_cannot_be_left_out() {
    let (place, far) = (Place::new(), Arc::new(RemoteKeys::default()));
    let store = open(&place, provider(&far)).await;
    put_secret(&store, "a", "one").await.expect("put");
    far.rotate();
    put_secret(&store, "b", "two")
        .await
        .expect("put by the new key, at once");
    store.close().await;
    far.forget_older();
    let refused = SqlStore::open(place.database(), provider(&far), Arc::new(SystemClock)).await;
    let error = refused.expect_err("the older key is gone");
    let text = told(&error);
    assert!(
        matches!(error, Error::Invalid { .. }) && text.contains("far:1"),
        "{text}"
    );
}

#[tokio::test]
async fn absent_provider_is_retryable() {
    let (place, far) = (Place::new(), Arc::new(RemoteKeys::default()));
    let store = open(&place, provider(&far)).await;
    put_secret(&store, "a", "one").await.expect("put");
    store.close().await;
    far.set_away(true);
    let refused = SqlStore::open(place.database(), provider(&far), Arc::new(SystemClock)).await;
    let error = refused.expect_err("away");
    assert!(error.is_retryable(), "{error:?}");

    far.set_away(false);
    let store = open(&place, provider(&far)).await;
    far.set_away(true);
    for error in [
        secret(&store, "a").await.expect_err("not unwrapped yet"),
        put_secret(&store, "b", "two").await.expect_err("not wrapped"),
    ] {
        assert!(
            error.is_retryable() && told(&error).contains("far key service"),
            "{error:?}"
        );
    }
    far.set_away(false);
    assert_eq!(secret(&store, "a").await.expect("read").as_deref(), Some("one"));
    far.set_away(true);
    assert_eq!(secret(&store, "a").await.expect("from memory").as_deref(), Some("one"));
}

#[tokio::test]
async fn provider_is_asked_once_per_record() {
    let (place, far) = (Place::new(), Arc::new(RemoteKeys::default()));
    let store = open(&place, provider(&far)).await;
    put_secret(&store, "a", "one").await.expect("put");
    store.close().await;
    let store = open(&place, provider(&far)).await;
    let before = far.unwraps();
    let reads = (0..100).map(|_| secret(&store, "a"));
    for read in futures_util::future::join_all(reads).await {
        assert_eq!(read.expect("read").as_deref(), Some("one"));
    }
    assert_eq!(far.unwraps() - before, 1, "of many readers at once, one asks");
}

#[tokio::test]
async fn interrupted_rotation_goes_on() {
    let (place, far) = (Place::new(), Arc::new(RemoteKeys::default()));
    let store = open(&place, provider(&far)).await;
    fill(&store, 450).await;
    far.rotate();
    far.fail_every(150);
    let mut failures = 0;
    loop {
        match store.rewrap().await {
            Ok(done) if done.in_use.is_empty() => break,
            Ok(done) => panic!("unfinished: {done:?}"),
            Err(error) => assert!(error.is_retryable(), "{error:?}"),
        }
        failures += 1;
        far.fail_every(if failures > 2 { 0 } else { 150 });
    }
    assert!(failures > 1);
    assert_eq!(key_ids(&place).await, ["far:2"]);
}

#[tokio::test]
async fn record_that_does_not_open_is_left_and_counted() {
    let (place, far) = (Place::new(), Arc::new(RemoteKeys::default()));
    let store = open(&place, provider(&far)).await;
    for path in ["a", "b", "c"] {
        put_secret(&store, path, path).await.expect("put");
    }
    sqlx::query("UPDATE portolan_secrets SET data_key = x'0102' WHERE key = 'b'")
        .execute(&mut raw(&place.database()).await)
        .await
        .expect("damaged");
    far.rotate();
    let done = store.rewrap().await.expect("the others are rewrapped");
    assert_eq!((done.rewrapped, done.failed), (2, 1));
    assert_eq!((done.unused.len(), done.in_use), (0, vec!["far:1".to_owned()]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn replicas_rotate_and_write_at_once() {
    let (place, far) = (Place::new(), Arc::new(RemoteKeys::default()));
    let stores = [open(&place, provider(&far)).await, open(&place, provider(&far)).await];
    fill(&stores[0], 300).await;
    far.rotate();
    let writer = {
        let store = stores[1].clone();
        tokio::spawn(async move {
            for number in 0..300 {
                put_secret(&store, &format!("many/{number}"), &format!("new {number}"))
                    .await
                    .expect("put");
            }
        })
    };
    let (one, two) = tokio::join!(stores[0].rewrap(), stores[1].rewrap());
    let (one, two) = (one.expect("rewrapped"), two.expect("rewrapped"));
    writer.await.expect("no panic");
    assert!(one.rewrapped + two.rewrapped <= 300, "{one:?} {two:?}");
    for number in 0..300 {
        let found = secret(&stores[0], &format!("many/{number}")).await.expect("read");
        assert_eq!(found, Some(format!("new {number}")), "no write is lost");
    }
    stores[0].rewrap().await.expect("rewrapped");
    assert_eq!(key_ids(&place).await, ["far:2"]);
}

#[tokio::test]
async fn background_task_rewraps() {
    let (place, far) = (Place::new(), Arc::new(RemoteKeys::default()));
    let store = open(&place, provider(&far)).await;
    fill(&store, 250).await;
    let _task = store.rewrap_in_background(Duration::from_millis(20));
    far.rotate();
    let all = async {
        while key_ids(&place).await != ["far:2"] {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), all)
        .await
        .expect("rewrapped");
    assert_eq!(
        secret(&store, "many/7").await.expect("read").as_deref(),
        Some("secret 7")
    );
}
