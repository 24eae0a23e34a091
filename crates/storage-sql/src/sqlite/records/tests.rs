use super::*;

async fn with_removed(names: &[&str]) -> Database {
    let database = Database::in_memory(jiff::Timestamp::UNIX_EPOCH).await.expect("open");
    for name in names {
        let put = database.put_record("server", name, "{}", Precondition::None).await;
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
    let put = database.put_record("server", "a", "{}", Precondition::Absent).await;
    assert_eq!(put.expect("put").map(|version| version.0.get()), Some(3));
}
