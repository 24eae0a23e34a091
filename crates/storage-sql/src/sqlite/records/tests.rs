use super::*;

fn plain(name: &str) -> NewRecord<'_> {
    NewRecord {
        kind: "server",
        name,
        body: "{}",
        tools: None,
        server: None,
        owner: None,
    }
}

/// Puts an install with the tool set of this digest.
async fn put_with(database: &Database, name: &str, digest: &[u8]) {
    let text = || format!("[{}]", digest.len());
    let tools = NewToolSet { digest, body: &text };
    let record = NewRecord {
        kind: "install",
        tools: (!digest.is_empty()).then_some(tools),
        ..plain(name)
    };
    let put = database.put_record(&record, Precondition::None).await;
    put.expect("put").expect("no precondition");
}

async fn tool_sets(database: &Database) -> Vec<Vec<u8>> {
    let all = sqlx::query_scalar("SELECT digest FROM portolan_tool_sets ORDER BY digest");
    all.fetch_all(&database.readers).await.expect("digests")
}

#[tokio::test]
async fn tool_set_is_kept_while_named() {
    let database = Database::in_memory(jiff::Timestamp::UNIX_EPOCH).await.expect("open");
    put_with(&database, "a", b"1").await;
    put_with(&database, "b", b"1").await;
    put_with(&database, "c", b"22").await;
    assert_eq!(tool_sets(&database).await, [b"1".to_vec(), b"22".to_vec()]);
    let whole = database.record_with_tools("install", "c").await.expect("read");
    assert_eq!(whole.expect("is there").1.as_deref(), Some("[2]"));
    put_with(&database, "a", b"22").await;
    assert_eq!(tool_sets(&database).await, [b"1".to_vec(), b"22".to_vec()]);
    put_with(&database, "b", b"").await;
    assert_eq!(
        tool_sets(&database).await,
        [b"22".to_vec()],
        "the last that named it is another now"
    );
    for name in ["a", "c"] {
        let removed = database.remove_record("install", name, Precondition::None).await;
        assert!(removed.expect("remove"));
    }
    assert!(tool_sets(&database).await.is_empty());
}

#[tokio::test]
async fn refused_put_leaves_tool_sets() {
    let database = Database::in_memory(jiff::Timestamp::UNIX_EPOCH).await.expect("open");
    put_with(&database, "a", b"1").await;
    let text = || "[]".to_owned();
    let record = NewRecord {
        kind: "install",
        tools: Some(NewToolSet {
            digest: b"22",
            body: &text,
        }),
        ..plain("a")
    };
    let refused = database
        .put_record(&record, Precondition::Absent)
        .await
        .expect("no fault");
    assert!(refused.is_none());
    assert_eq!(tool_sets(&database).await, [b"1".to_vec()]);
}

async fn with_removed(names: &[&str]) -> Database {
    let database = Database::in_memory(jiff::Timestamp::UNIX_EPOCH).await.expect("open");
    for name in names {
        let put = database.put_record(&plain(name), Precondition::None).await;
        put.expect("put");
    }
    for name in names {
        assert!(
            database
                .remove_record("server", name, Precondition::None)
                .await
                .expect("removed")
        );
    }
    database
}

async fn keep(database: &Database, removals: i64) {
    let mut tx = database.write().await.expect("begin");
    forget(&mut tx, removals).await.expect("forgotten");
    tx.commit().await.expect("commit");
}

#[tokio::test]
async fn oldest_removals_are_forgotten() {
    let database = with_removed(&["a", "b", "c"]).await;
    keep(&database, 2).await;
    let found = database.changes(0).await.expect("changes");
    let names: Vec<_> = found.rows.iter().map(|row| row.name.as_str()).collect();
    assert_eq!((names, found.forgotten), (vec!["b", "c"], 4));
}

#[tokio::test]
async fn removals_within_the_bound_are_kept() {
    let database = with_removed(&["a", "b"]).await;
    keep(&database, 2).await;
    let found = database.changes(0).await.expect("changes");
    assert_eq!((found.rows.len(), found.forgotten), (2, 0));
}

#[tokio::test]
async fn revisions_are_never_reused() {
    let database = with_removed(&["a"]).await;
    keep(&database, 0).await;
    let put = database.put_record(&plain("a"), Precondition::Absent).await;
    assert_eq!(put.expect("put").map(|version| version.0.get()), Some(3));
}
