//! What was written is there again.

use bytes::Bytes;
use jiff::Timestamp;
use portolan_core::{CredentialStore, Page, Precondition, RecordKind, Registry, SessionStore};

use crate::support::{Place, credential, open, put_secret, put_server, raw, secret, server, server_key};

#[tokio::test]
async fn records_persist() {
    let place = Place::new();
    let far = Timestamp::MAX;
    let store = place.store().await;
    let version = Registry::put(&store, server("a"), Precondition::Absent)
        .await
        .expect("put");
    put_secret(&store, "a/b", "s3cr3t").await.expect("put");
    let state = Bytes::from_static(b"state");
    let put = SessionStore::put(
        &store,
        "s",
        state.clone(),
        far,
        Timestamp::UNIX_EPOCH,
        Precondition::Absent,
    );
    put.await.expect("put");
    store.close().await;

    let store = place.store().await;
    let found = Registry::get(&store, &server_key("a"))
        .await
        .expect("get")
        .expect("is there");
    assert_eq!((found.value, found.version), (server("a"), version));
    assert_eq!(secret(&store, "a/b").await.expect("read").as_deref(), Some("s3cr3t"));
    let found = SessionStore::get(&store, "s", Timestamp::UNIX_EPOCH)
        .await
        .expect("get");
    assert_eq!(found.expect("is there").value, state);
}

#[tokio::test]
async fn versions_and_fences_never_repeat() {
    let place = Place::new();
    let mut seen = Vec::new();
    let mut fences = vec![0];
    for _ in 0..3 {
        let store = place.store().await;
        let key = credential("a");
        seen.push(
            Registry::put(&store, server("a"), Precondition::Absent)
                .await
                .expect("put"),
        );
        Registry::remove(&store, &server_key("a"), Precondition::None)
            .await
            .expect("removed");
        let lease = store
            .lease(&key, std::time::Duration::ZERO)
            .await
            .expect("lease")
            .expect("free");
        assert!(lease.fence > fences[fences.len() - 1]);
        fences.push(lease.fence);
    }
    seen.dedup();
    assert_eq!(seen.len(), 3, "{seen:?}");
}

#[tokio::test]
async fn path_may_hold_odd_characters() {
    for name in [
        "a b.db",
        "what?mode=memory",
        "100%.db",
        "%41.db",
        "a#b.db",
        "ключ ☕.db",
        ":memory:",
        "file:x?y.db",
        "'\".db",
    ] {
        let place = Place::new();
        let path = place.path(name);
        let store = open(&path).await.expect("the store opens");
        put_server(&store, "a").await;
        assert!(path.is_file(), "{name} is the file");
        store.close().await;
        let store = open(&path).await.expect("the store opens");
        assert!(
            Registry::get(&store, &server_key("a")).await.expect("get").is_some(),
            "{name}"
        );
    }
}

#[cfg(unix)]
#[tokio::test]
async fn files_are_private() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new();
    let store = place.store().await;
    put_server(&store, "a").await;
    for name in ["portolan.db", "portolan.db-wal", "portolan.db-shm"] {
        let about = std::fs::metadata(place.path(name)).expect(name);
        assert_eq!(about.permissions().mode() & 0o777, 0o600, "{name}");
    }
}

#[tokio::test]
async fn host_database_is_shared() {
    let place = Place::new();
    let mut host = raw_new(&place).await;
    sqlx::raw_sql("CREATE TABLE users (name TEXT); INSERT INTO users VALUES ('alice')")
        .execute(&mut host)
        .await
        .expect("the host's own");
    let store = place.store().await;
    put_server(&store, "a").await;
    let users: i64 = sqlx::query_scalar("SELECT count(*) FROM users")
        .fetch_one(&mut host)
        .await
        .expect("users");
    assert_eq!(users, 1);
    let foreign: Vec<String> = sqlx::query_scalar(
        "SELECT name FROM sqlite_schema WHERE name NOT LIKE 'portolan_%' AND name NOT LIKE 'sqlite_%'",
    )
    .fetch_all(&mut host)
    .await
    .expect("names");
    assert_eq!(foreign, ["users"], "all that is ours has our prefix");
}

async fn raw_new(place: &Place) -> sqlx::SqliteConnection {
    std::fs::File::create(place.database()).expect("a file");
    raw(&place.database()).await
}

#[tokio::test]
async fn sqlite_version_and_query_plans() {
    let place = Place::new();
    let _store = place.store().await;
    let mut connection = raw(&place.database()).await;
    let version: String = sqlx::query_scalar("SELECT sqlite_version()")
        .fetch_one(&mut connection)
        .await
        .expect("version");
    let numbers: Vec<u32> = version.split('.').filter_map(|part| part.parse().ok()).collect();
    assert!(numbers >= vec![3, 51, 3], "{version}");

    let plan: Vec<(i64, i64, i64, String)> = sqlx::query_as(concat!(
        "EXPLAIN QUERY PLAN ",
        include_str!("../../src/sqlite/sql/record_list.sql")
    ))
    .bind("server")
    .bind("a")
    .bind(1)
    .fetch_all(&mut connection)
    .await
    .expect("plan");
    let plan: String = plan.into_iter().map(|row| row.3).collect();
    assert!(
        plan.contains("kind=? AND name>?") && !plan.contains("TEMP B-TREE"),
        "{plan}"
    );
}

#[tokio::test]
async fn pages_are_bounded_and_complete() {
    let place = Place::new();
    let store = place.store().await;
    for number in 0..600 {
        put_server(&store, &format!("s{number:04}")).await;
    }
    let page = Page {
        after: None,
        limit: usize::MAX,
    };
    assert_eq!(
        Registry::list(&store, RecordKind::Server, page)
            .await
            .expect("list")
            .len(),
        500
    );
    let all = portolan_core::RegistryExt::servers(&store).await.expect("all");
    assert_eq!(all.len(), 600);
}

#[tokio::test]
async fn large_records_shorten_pages() {
    let place = Place::new();
    let store = place.store().await;
    for name in ["a", "b", "c"] {
        let portolan_core::Record::Server(mut spec) = server(name) else {
            panic!("a server")
        };
        spec.description = Some("x".repeat(5 << 20));
        Registry::put(&store, spec.into(), Precondition::None)
            .await
            .expect("put");
    }
    let page = Registry::list(&store, RecordKind::Server, Page::first())
        .await
        .expect("list");
    assert_eq!(page.len(), 2);
    let page = Registry::list(&store, RecordKind::Server, Page::after(server_key("b")))
        .await
        .expect("list");
    assert_eq!(page.len(), 1);
}
