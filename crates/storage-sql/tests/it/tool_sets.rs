//! The tools of installs: stored once for each content, shared when they are read, also those of an older release.

use std::sync::Arc;

use portolan_core::{
    Install, Key, Owner, Page, Precondition, Record, RecordKind, Registry, RegistryExt, ServerName, Tool, UserId,
    conformance::sample,
};
use portolan_storage_sql::SqlStore;

use crate::support::{Place, open, raw};

fn install(number: u128) -> Install {
    let sample = sample::install(number);
    let owner = Owner::Personal(UserId::parse(format!("user \"{number}\" ☕ \\ é")).expect("a user"));
    let mut install = Install::new(sample.name, sample.server, owner, sample.created);
    install.tools = vec![sample::tool(sample::ODD_TOOL)].into();
    install
}

async fn count(place: &Place, what: &str) -> i64 {
    let mut connection = raw(&place.database()).await;
    let query = sqlx::query_scalar(sqlx::AssertSqlSafe(format!("SELECT count(*) FROM {what}")));
    query.fetch_one(&mut connection).await.expect("a count")
}

async fn put(store: &SqlStore, install: Install) {
    Registry::put(store, install.into(), Precondition::None)
        .await
        .expect("put");
}

#[tokio::test]
async fn equal_tools_are_stored_and_read_once() {
    let place = Place::new();
    let store = place.store().await;
    for number in 1..=50 {
        put(&store, install(number)).await;
    }
    assert_eq!(count(&place, "portolan_tool_sets").await, 1);
    assert_eq!(count(&place, "portolan_records WHERE body LIKE '%x-future%'").await, 0);
    let installs = store.installs().await.expect("installs");
    let first = &installs[0].value.tools;
    assert_eq!(first[0].definition().get(), sample::ODD_TOOL);
    assert!(installs.iter().all(|install| install.value.tools.is_shared_with(first)));
    for install in &installs {
        let key = Key::Install(install.value.name);
        Registry::remove(&store, &key, Precondition::None)
            .await
            .expect("remove");
    }
    assert_eq!(count(&place, "portolan_tool_sets").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tools_that_change_are_read_whole() {
    let store = SqlStore::in_memory(Arc::new(portolan_core::SystemClock))
        .await
        .expect("open");
    let writer = store.clone();
    put(&store, install(1)).await;
    let writing = tokio::spawn(async move {
        for round in 0..300 {
            let mut changed = install(1);
            let definition = format!(r#"{{"name":"t{round}"}}"#);
            changed.tools = vec![sample::tool(&definition)].into();
            put(&writer, changed).await;
        }
    });
    while !writing.is_finished() {
        let found = store.install(&sample::install_name(1)).await.expect("is there");
        assert_eq!(found.value.tools.len(), 1);
        let all = store.list(RecordKind::Install, Page::first()).await.expect("list");
        assert_eq!(all.len(), 1);
    }
    writing.await.expect("no panic");
}

#[tokio::test]
async fn changed_tool_set_is_refused() {
    let place = Place::new();
    let store = place.store().await;
    put(&store, install(1)).await;
    // Nothing is in memory any more.
    store.close().await;
    let store = place.store().await;
    let mut connection = raw(&place.database()).await;
    sqlx::query("UPDATE portolan_tool_sets SET body = '[]'")
        .execute(&mut connection)
        .await
        .expect("changed");
    let refused = store.install(&sample::install_name(1)).await;
    let message = refused.expect_err("it was changed");
    let source = std::error::Error::source(&message).map(ToString::to_string);
    let text = format!("{message} {}", source.unwrap_or_default());
    assert!(text.contains("were changed"), "{text}");
}

/// A database as the first release wrote it: tools in the records, no columns to find them by.
async fn old_database(place: &Place, installs: &[Install]) {
    let options = sqlx::sqlite::SqliteConnectOptions::new()
        .filename(place.database())
        .create_if_missing(true);
    let mut connection = sqlx::ConnectOptions::connect(&options).await.expect("a connection");
    for step in [
        include_str!("../../src/sqlite/sql/schema_create.sql"),
        include_str!("../../src/sqlite/migrations/0001_initial.sql"),
        "INSERT INTO portolan_schema (version, applied_at) VALUES (1, 0);",
    ] {
        sqlx::raw_sql(step).execute(&mut connection).await.expect("a step");
    }
    for (revision, install) in (1_i64..).zip(installs) {
        let body = serde_json::to_string(&Record::Install(install.clone())).expect("JSON");
        let name = install.name.to_string();
        for statement in [
            "INSERT INTO portolan_records (version, name, kind, body) VALUES (?1, ?2, 'install', ?3)",
            "INSERT INTO portolan_changes (revision, name, kind, removed) VALUES (?1, ?2, 'install', 0)",
        ] {
            let query = sqlx::query(statement).bind(revision).bind(&name);
            let query = if statement.contains("?3") {
                query.bind(&body)
            } else {
                query
            };
            query.execute(&mut connection).await.expect("a row");
        }
    }
}

#[tokio::test]
async fn older_records_are_read_and_found() {
    let place = Place::new();
    let before: Vec<_> = (1..=5).map(install).collect();
    old_database(&place, &before).await;
    let store = open(&place.database()).await.expect("the store opens");
    let installs = store.installs().await.expect("installs");
    assert_eq!(
        Vec::from_iter(installs.iter().map(|install| install.value.clone())),
        before
    );
    assert!(
        installs
            .iter()
            .all(|one| one.value.tools.is_shared_with(&installs[0].value.tools))
    );
    let server = ServerName::parse("time").expect("a name");
    for install in &before {
        let found = store
            .installs_of(&server, Some(&install.owner), Page::first())
            .await
            .expect("found");
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].value, *install);
    }
    assert_eq!(count(&place, "portolan_tool_sets").await, 0);
    put(&store, installs[0].value.clone()).await;
    assert_eq!(
        count(&place, "portolan_tool_sets").await,
        1,
        "they move when they are written"
    );
    let moved = store.install(&before[0].name).await.expect("is there").value;
    assert_eq!(Tool::definition(&moved.tools[0]).get(), sample::ODD_TOOL);
}
