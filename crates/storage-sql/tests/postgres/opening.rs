//! Opening a database: what is refused, and how it says so.

use std::sync::Arc;

use portolan_core::{Error, Registry, SystemClock};
use portolan_storage_sql::{Migrations, SqlConfig, SqlStore};
use sqlx::Executor;

use crate::support::{Address, Schema, keys, put_server, raw, server_key, told};

async fn refused(url: &str, config: &SqlConfig) -> (Error, String) {
    let opened = SqlStore::connect_with(url, config, keys(1), Arc::new(SystemClock)).await;
    let error = opened.expect_err("refused");
    let text = format!("{} {error:?}", told(&error));
    assert!(!text.contains("hunter2"), "{text}");
    (error, text)
}

#[tokio::test]
async fn verify_mode_changes_nothing() {
    let schema = Schema::new(Address::Direct);
    let verify = schema.config().with_migrations(Migrations::Verify);
    let error = schema.open_with(&verify).await.expect_err("there is no schema");
    assert!(told(&error).contains("Migrations::Run"), "{}", told(&error));
    let mut connection = raw(&Address::Direct.url()).await;
    let made: bool = sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)")
        .bind(&schema.name)
        .fetch_one(&mut connection)
        .await
        .expect("asked");
    assert!(!made);
    schema.store().await;
    schema.open_with(&verify).await.expect("it is up to date");
}

#[tokio::test]
async fn newer_schema_is_refused() {
    let schema = Schema::new(Address::Direct);
    schema.store().await.close().await;
    let sql = format!("INSERT INTO {}.schema_steps VALUES (99, 0)", schema.name);
    raw(&Address::Direct.url())
        .await
        .execute(sqlx::AssertSqlSafe(sql))
        .await
        .expect("newer");
    for migrations in [Migrations::Run, Migrations::Verify] {
        let error = schema.open_with(&schema.config().with_migrations(migrations)).await;
        let text = told(&error.expect_err("newer"));
        assert!(text.contains("newer release") && text.contains("99"), "{text}");
    }
}

#[tokio::test]
async fn failed_migration_leaves_no_lock() {
    let schema = Schema::new(Address::Direct);
    let mut connection = raw(&Address::Direct.url()).await;
    // A table in the way, so that the first step fails in the middle.
    let sql = format!("CREATE SCHEMA {0}; CREATE TABLE {0}.leases (key text)", schema.name);
    connection.execute(sqlx::AssertSqlSafe(sql)).await.expect("made");
    let error = schema.open().await.expect_err("in the way");
    assert!(matches!(error, Error::Backend { .. }), "{}", told(&error));
    let sql = format!("DROP TABLE {}.leases", schema.name);
    connection
        .execute(sqlx::AssertSqlSafe(sql))
        .await
        .expect("out of the way");
    put_server(&schema.store().await, "a").await.expect("it works now");
}

#[tokio::test]
async fn other_keys_are_refused() {
    let schema = Schema::new(Address::Direct);
    schema.store().await.close().await;
    let url = schema.address.url();
    let opened = SqlStore::connect_with(&url, &schema.config(), keys(2), Arc::new(SystemClock)).await;
    let error = opened.expect_err("other keys");
    assert!(told(&error).contains("with_older"), "{}", told(&error));
    schema.store().await;
}

#[tokio::test]
async fn missing_server_and_database_are_told_apart() {
    let nobody = "postgres://alice:hunter2@127.0.0.1:1/d";
    let (error, text) = refused(nobody, &SqlConfig::new()).await;
    assert!(error.is_retryable() && text.contains("127.0.0.1:1/d"), "{text}");
    let (base, _) = Address::Direct
        .url()
        .rsplit_once('/')
        .map(|(a, b)| (a.to_owned(), b.to_owned()))
        .expect("a path");
    let (error, text) = refused(&format!("{base}/nowhere?password=hunter2"), &SqlConfig::new()).await;
    assert!(!error.is_retryable() && text.contains("make it first"), "{text}");
}

#[tokio::test]
async fn pooler_without_its_switch_is_named() {
    let (_, text) = refused(&Address::OldPooler.url(), &SqlConfig::new()).await;
    assert!(text.contains("behind_transaction_pooler"), "{text}");
}

#[tokio::test]
async fn bad_schema_names_are_refused() {
    for name in ["", "Upper", "pg_own", "a-b", "1a", "a\"b", &"a".repeat(49)] {
        let config = SqlConfig::new().with_schema(name);
        let (error, text) = refused(&Address::Direct.url(), &config).await;
        assert!(matches!(error, Error::Invalid { .. }), "{text}");
    }
}

#[tokio::test]
async fn keyword_is_a_schema_name() {
    let mut schema = Schema::new(Address::Direct);
    schema.name = "select".into();
    let store = schema.store().await;
    put_server(&store, "a").await.expect("put");
    assert!(store.get(&server_key("a")).await.expect("get").is_some());
    raw(&Address::Direct.url())
        .await
        .execute("DROP SCHEMA \"select\" CASCADE")
        .await
        .expect("dropped");
}

#[tokio::test]
async fn debug_shows_no_password() {
    let schema = Schema::new(Address::Direct);
    let url = format!("{}?password=hunter2", schema.address.url());
    let store = SqlStore::connect_with(&url, &schema.config(), keys(1), Arc::new(SystemClock)).await;
    let config = schema
        .config()
        .behind_transaction_pooler(Some("postgres://a:hunter2@h/d".into()));
    let shown = format!("{:?} {config:?}", store.expect("it trusts anybody"));
    assert!(!shown.contains("hunter2"), "{shown}");
}

#[tokio::test]
async fn unsafe_commits_are_refused() {
    let url = Address::Direct.url();
    let mut connection = raw(&url).await;
    let sql = "DROP ROLE IF EXISTS hasty; CREATE ROLE hasty LOGIN; ALTER ROLE hasty SET synchronous_commit = off";
    connection.execute(sql).await.expect("a role");
    let (_, text) = refused(&format!("{url}?user=hasty"), &SqlConfig::new()).await;
    assert!(text.contains("synchronous_commit"), "{text}");
}

#[tokio::test]
async fn pool_of_the_host_stays_open() {
    let schema = Schema::new(Address::Direct);
    let pool = sqlx::PgPool::connect(&schema.address.url()).await.expect("a pool");
    let store = SqlStore::from_postgres_pool(pool.clone(), &schema.config(), keys(1), Arc::new(SystemClock))
        .await
        .expect("a store");
    put_server(&store, "a").await.expect("put");
    store.close().await;
    let one: i32 = sqlx::query_scalar("SELECT 1")
        .fetch_one(&pool)
        .await
        .expect("still open");
    assert_eq!(one, 1);
}
