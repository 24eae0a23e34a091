//! A store in the host's own pool.

use std::sync::Arc;

use portolan_core::{Registry, SystemClock};
use portolan_storage_sql::SqlStore;
use sqlx::sqlite::SqliteSynchronous;

use crate::support::{Place, keys, open, pool, put_server, server_key};

#[tokio::test]
async fn host_and_store_share_a_pool() {
    let place = Place::new();
    let pool = pool(&place, SqliteSynchronous::Full).await;
    sqlx::query("CREATE TABLE users (name TEXT)")
        .execute(&pool)
        .await
        .expect("a table of the host's");
    let store = SqlStore::from_pool(pool.clone(), keys(1), Arc::new(SystemClock))
        .await
        .expect("a store");
    put_server(&store, "a").await;
    store.close().await;
    let users: i64 = sqlx::query_scalar("SELECT count(*) FROM users")
        .fetch_one(&pool)
        .await
        .expect("still open");
    assert_eq!(users, 0);
    pool.close().await;
    let opened = open(&place.database()).await.expect("as a file of its own");
    assert!(opened.get(&server_key("a")).await.expect("get").is_some());
}

#[tokio::test]
async fn pool_that_does_not_wait_for_the_disk_is_refused() {
    let place = Place::new();
    let pool = pool(&place, SqliteSynchronous::Normal).await;
    let refused = SqlStore::from_pool(pool, keys(1), Arc::new(SystemClock)).await;
    let error = refused.expect_err("refused").to_string();
    assert!(error.contains("SqliteSynchronous::Full"), "{error}");
}

#[tokio::test]
async fn pool_with_other_keys_is_refused() {
    let place = Place::new();
    let pool = pool(&place, SqliteSynchronous::Full).await;
    SqlStore::from_pool(pool.clone(), keys(1), Arc::new(SystemClock))
        .await
        .expect("a store");
    SqlStore::from_pool(pool, keys(2), Arc::new(SystemClock))
        .await
        .expect_err("other keys");
}
