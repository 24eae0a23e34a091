//! Sealed rows and the rotation of keys.

use std::sync::Arc;

use futures_util::{StreamExt, stream};
use portolan_core::{CredentialReader, CredentialStore, Error, KeyProvider, Precondition, Secret, memory::MemoryKeys};
use portolan_storage_sql::{SealingKeys, SqlStore};
use sqlx::{AssertSqlSafe, Executor};

use crate::support::{Address, Schema, credential, keys, raw, told};

async fn put(store: &SqlStore, path: &str, text: &str) {
    let key = credential(path);
    let put = store.put(&key, Secret::new(text), Precondition::None);
    put.await.expect("put");
}

async fn read(store: &SqlStore, path: &str) -> portolan_core::Result<String> {
    let found = store.read(&credential(path)).await?.expect("is there");
    Ok(found.value.reveal().to_owned())
}

async fn execute(schema: &Schema, sql: &str) {
    let sql = sql.replace("portolan.", &format!("{}.", schema.name));
    let mut connection = raw(&Address::Direct.url()).await;
    connection.execute(AssertSqlSafe(sql)).await.expect("executed");
}

#[tokio::test]
async fn copied_row_does_not_open() {
    let schema = Schema::new(Address::Direct);
    let store = schema.store().await;
    put(&store, "a", "of a").await;
    put(&store, "b", "of b").await;
    let sql = "UPDATE portolan.secrets AS b SET version = a.version, sealed = a.sealed, key_id = a.key_id, \
               data_key = a.data_key FROM portolan.secrets AS a WHERE a.key = 'a' AND b.key = 'b'";
    execute(&schema, sql).await;
    assert_eq!(read(&store, "a").await.expect("read"), "of a");
    let error = read(&store, "b").await.expect_err("does not open");
    assert!(matches!(error, Error::Backend { .. }), "{error:?}");
}

#[tokio::test]
async fn other_keys_are_refused() {
    let schema = Schema::new(Address::Direct);
    schema.store().await.close().await;
    let refused = schema.open_keys(&schema.config(), keys(2)).await;
    let error = refused.expect_err("other keys");
    assert!(
        matches!(error, Error::Invalid { .. }) && told(&error).contains("needs other keys"),
        "{}",
        told(&error)
    );
    schema.store().await;
}

#[tokio::test]
async fn racing_openers_with_different_keys() {
    let schema = Schema::new(Address::Direct);
    let opened = futures_util::future::join_all((1..=4).map(|byte| {
        let (schema, config) = (&schema, schema.config());
        async move { schema.open_keys(&config, keys(byte)).await }
    }));
    let opened = opened.await;
    assert_eq!(opened.iter().filter(|store| store.is_ok()).count(), 1, "{opened:?}");
}

/// Reads while all secrets are rewrapped, through each address.
async fn rotate(address: Address) {
    const SECRETS: usize = 1_000;
    let schema = Schema::new(address);
    let store = schema.store().await;
    stream::iter(0..SECRETS)
        .for_each_concurrent(8, async |number| {
            put(&store, &format!("many/{number}"), &number.to_string()).await
        })
        .await;
    store.close().await;

    let newer = SealingKeys::new(&[2; 32]).and_then(|keys| keys.with_older(&[1; 32]));
    let store = schema
        .open_keys(&schema.config(), newer.expect("keys"))
        .await
        .expect("opens");
    let reads = async {
        for step in 0..SECRETS {
            let number = step * 7_919 % SECRETS;
            let found = read(&store, &format!("many/{number}")).await.expect("no read fails");
            assert_eq!(found, number.to_string());
        }
    };
    let (done, ()) = tokio::join!(store.rewrap(), reads);
    let done = done.expect("rewrapped");
    assert_eq!((done.rewrapped, done.failed, done.unused.len()), (SECRETS as u64, 0, 1));
    store.close().await;
    let store = schema
        .open_keys(&schema.config(), keys(2))
        .await
        .expect("without the older key");
    assert_eq!(read(&store, "many/7").await.expect("read"), "7");
}

#[tokio::test]
async fn reads_go_on_while_secrets_rotate() {
    rotate(Address::Direct).await;
}

#[tokio::test]
async fn secrets_rotate_behind_old_pooler() {
    rotate(Address::OldPooler).await;
}

#[tokio::test]
async fn secrets_rotate_behind_new_pooler() {
    rotate(Address::NewPooler).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn replicas_rotate_and_write_at_once() {
    let (schema, far) = (Schema::new(Address::Direct), Arc::new(MemoryKeys::new()));
    let provider: Arc<dyn KeyProvider> = far.clone();
    let open = async || {
        schema
            .open_keys(&schema.config(), provider.clone())
            .await
            .expect("opens")
    };
    let stores = [open().await, open().await];
    for number in 0..300 {
        put(&stores[0], &format!("many/{number}"), "old").await;
    }
    far.rotate();
    let writes = async {
        for number in 0..300 {
            put(&stores[1], &format!("many/{number}"), "new").await;
        }
    };
    let (one, two, ()) = tokio::join!(stores[0].rewrap(), stores[1].rewrap(), writes);
    let (one, two) = (one.expect("rewrapped"), two.expect("rewrapped"));
    assert!(one.rewrapped + two.rewrapped <= 300, "{one:?} {two:?}");
    stores[0].rewrap().await.expect("rewrapped");
    far.forget_older();
    let store = open().await;
    for number in 0..300 {
        assert_eq!(read(&store, &format!("many/{number}")).await.expect("read"), "new");
    }
}
