//! What is no database, or none of ours, is refused with a word on what to do.

use std::path::Path;

use portolan_core::Error;

use crate::support::{Place, open, put_server, raw, told};

async fn refused(path: &Path, says: &str) {
    let error = open(path).await.expect_err("refused");
    let text = told(&error);
    assert!(matches!(error, Error::Backend { .. }), "{error:?}");
    assert!(error.to_string().contains(says), "{says:?} is not in {text}");
    assert!(!error.is_retryable());
}

#[tokio::test]
async fn garbage_file_is_refused() {
    let place = Place::new();
    let garbage = b"this is a diary, and no database at all. ".repeat(100);
    std::fs::write(place.database(), &garbage).expect("written");
    refused(&place.database(), "no SQLite database").await;
    assert!(std::fs::read(place.database()).expect("read") == garbage);
}

#[tokio::test]
async fn damaged_database_is_reported() {
    let place = Place::new();
    let store = place.store().await;
    for number in 0..200 {
        put_server(&store, &format!("s{number}")).await;
    }
    store.close().await;
    let mut bytes = std::fs::read(place.database()).expect("read");
    for byte in &mut bytes[4096..] {
        *byte = 0x5a;
    }
    std::fs::write(place.database(), bytes).expect("written");
    refused(&place.database(), "restore").await;
}

#[tokio::test]
async fn directory_is_refused() {
    refused(Place::new().path("").as_path(), "directory").await;
    let place = Place::new();
    std::fs::create_dir(place.database()).expect("made");
    refused(&place.database(), "name a file in it").await;
}

#[tokio::test]
async fn missing_directory_is_refused() {
    let place = Place::new();
    refused(&place.path("none/portolan.db"), "make it first").await;
    refused(Path::new(""), "not empty").await;
    refused(Path::new("a\0b"), "without NUL").await;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn unwritable_path_is_refused() {
    // /proc: also the superuser, who is stopped by no mode, cannot make a file there, nor write this one.
    refused(
        Path::new("/proc/portolan.db"),
        "let this process write to its directory",
    )
    .await;
    refused(Path::new("/proc/version"), "let this process read and write").await;
    refused(Path::new("/dev/null"), "no file").await;
}

#[cfg(unix)]
#[tokio::test]
async fn dangling_link_is_refused() {
    let place = Place::new();
    std::os::unix::fs::symlink(place.path("nowhere"), place.database()).expect("linked");
    refused(&place.database(), "let this process read it").await;
}

#[tokio::test]
async fn newer_schema_is_refused() {
    let place = Place::new();
    place.store().await.close().await;
    let mut connection = raw(&place.database()).await;
    let sql = "INSERT INTO portolan_schema (version, applied_at) VALUES (99, 0)";
    sqlx::query(sql).execute(&mut connection).await.expect("newer");
    refused(&place.database(), "newer release").await;
    refused(&place.database(), "version 99").await;
}

#[tokio::test]
async fn newer_record_is_named_in_error() {
    let place = Place::new();
    let store = place.store().await;
    put_server(&store, "a").await;
    let mut connection = raw(&place.database()).await;
    let sql = r#"UPDATE portolan_records SET body = '{"server":{"name":"a","source":{"wormhole":{}}}}'"#;
    sqlx::query(sql).execute(&mut connection).await.expect("changed");
    let error = portolan_core::Registry::get(&store, &crate::support::server_key("a"))
        .await
        .expect_err("unknown");
    let text = told(&error);
    assert!(text.contains("server \"a\"") && text.contains("portolan.db"), "{text}");
}

#[tokio::test]
async fn closed_store_is_unavailable() {
    let place = Place::new();
    let store = place.store().await;
    store.close().await;
    let error = portolan_core::Registry::get(&store, &crate::support::server_key("a"))
        .await
        .expect_err("closed");
    assert!(
        error.is_retryable() && told(&error).contains("open it again"),
        "{}",
        told(&error)
    );
}

#[tokio::test]
async fn long_lock_is_retryable() {
    let place = Place::new();
    let store = place.store().await;
    let mut host = raw(&place.database()).await;
    sqlx::raw_sql("BEGIN IMMEDIATE")
        .execute(&mut host)
        .await
        .expect("the lock");
    let put = portolan_core::Registry::put(&store, crate::support::server("a"), portolan_core::Precondition::None);
    let error = put.await.expect_err("locked");
    assert!(
        error.is_retryable() && told(&error).contains("try again"),
        "{}",
        told(&error)
    );
    sqlx::raw_sql("ROLLBACK").execute(&mut host).await.expect("free");
    put_server(&store, "a").await;
}
