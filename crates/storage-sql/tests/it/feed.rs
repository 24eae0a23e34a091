//! The change feed over several stores on one file.

use std::time::Duration;

use futures_util::{StreamExt, stream::BoxStream};
use portolan_core::{Change, Error, Precondition, Registry, Result, Revision};

use crate::support::{Place, put_server, raw, server, server_key, told};

async fn next(feed: &mut BoxStream<'static, Result<Change>>) -> Option<Result<Change>> {
    tokio::time::timeout(Duration::from_secs(10), feed.next())
        .await
        .expect("in time")
}

#[tokio::test]
async fn stores_see_each_others_changes() {
    let place = Place::new();
    let (one, other) = (place.store().await, place.store().await);
    let mut feed = one.changes(Revision(0));
    for (name, writer) in [("a", &other), ("b", &one), ("c", &other)] {
        put_server(writer, name).await;
        assert_eq!(
            next(&mut feed).await.expect("goes on").expect("a change").key,
            server_key(name)
        );
        assert!(Registry::get(&one, &server_key(name)).await.expect("get").is_some());
    }
    Registry::remove(&other, &server_key("a"), Precondition::None)
        .await
        .expect("removed");
    assert_eq!(
        next(&mut feed).await.expect("goes on").expect("a change").key,
        server_key("a")
    );
}

#[tokio::test]
async fn stores_share_preconditions() {
    let place = Place::new();
    let (one, other) = (place.store().await, place.store().await);
    let version = Registry::put(&one, server("a"), Precondition::Absent)
        .await
        .expect("first");
    let second = Registry::put(&other, server("a"), Precondition::Absent).await;
    assert!(matches!(second, Err(Error::Conflict { .. })));
    Registry::put(&other, server("a"), Precondition::Version(version))
        .await
        .expect("the version fits");
    let stale = Registry::put(&one, server("a"), Precondition::Version(version)).await;
    assert!(matches!(stale, Err(Error::Conflict { .. })));
}

#[tokio::test]
async fn feed_continues_after_restart() {
    let place = Place::new();
    let store = place.store().await;
    put_server(&store, "a").await;
    let seen = next(&mut store.changes(Revision(0)))
        .await
        .expect("goes on")
        .expect("a change")
        .revision;
    put_server(&store, "b").await;
    store.close().await;
    let mut feed = place.store().await.changes(seen);
    let _keep = place.store().await;
    assert!(next(&mut feed).await.is_none(), "its own store is gone");
    let store = place.store().await;
    assert_eq!(
        next(&mut store.changes(seen))
            .await
            .expect("goes on")
            .expect("a change")
            .key,
        server_key("b")
    );
}

#[tokio::test]
async fn long_feed_is_complete_and_ordered() {
    let store = portolan_storage_sql::SqlStore::in_memory(std::sync::Arc::new(portolan_core::SystemClock)).await;
    let store = store.expect("the store opens");
    for number in 0..1_100 {
        put_server(&store, &format!("s{number}")).await;
    }
    let mut feed = store.changes(Revision(0));
    let mut last = Revision(0);
    for number in 0..1_100 {
        let change = next(&mut feed).await.expect("goes on").expect("a change");
        assert_eq!(change.key, server_key(&format!("s{number}")));
        assert!(change.revision > last);
        last = change.revision;
    }
}

#[tokio::test]
async fn stale_revision_is_reported() {
    let place = Place::new();
    let store = place.store().await;
    for name in ["a", "b", "c"] {
        put_server(&store, name).await;
    }
    let sql = "UPDATE portolan_numbers SET value = 2 WHERE name = 'forgotten'";
    sqlx::query(sql)
        .execute(&mut raw(&place.database()).await)
        .await
        .expect("as if removals were forgotten");

    let error = next(&mut store.changes(Revision(1)))
        .await
        .expect("an item")
        .expect_err("a gap");
    assert!(matches!(error, Error::Conflict { .. }), "{error}");
    let mut feed = store.changes(Revision(0));
    for name in ["a", "b", "c"] {
        assert_eq!(
            next(&mut feed).await.expect("goes on").expect("a change").key,
            server_key(name)
        );
    }
    let mut feed = store.changes(Revision(2));
    assert_eq!(
        next(&mut feed).await.expect("goes on").expect("a change").key,
        server_key("c")
    );
}

#[tokio::test]
async fn failing_database_ends_feed() {
    let place = Place::new();
    let store = place.store().await;
    let mut feed = store.changes(Revision(0));
    let mut connection = raw(&place.database()).await;
    sqlx::raw_sql("DROP TABLE portolan_changes")
        .execute(&mut connection)
        .await
        .expect("dropped");
    let error = next(&mut feed).await.expect("an item").expect_err("a failure");
    assert!(told(&error).contains("portolan.db"), "{}", told(&error));
    assert!(next(&mut feed).await.is_none());
}

#[tokio::test]
async fn dropped_store_ends_feed() {
    let place = Place::new();
    let store = place.store().await;
    let mut feed = store.clone().changes(Revision(0));
    put_server(&store, "a").await;
    assert!(next(&mut feed).await.is_some());
    let waiting = tokio::spawn(async move { next(&mut feed).await.is_none() });
    tokio::time::sleep(Duration::from_millis(50)).await;
    drop(store);
    assert!(waiting.await.expect("no panic"));
}
