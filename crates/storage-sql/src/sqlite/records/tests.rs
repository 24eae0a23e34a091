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
async fn the_oldest_removals_are_forgotten_and_that_is_written_down() {
    let database = with_removed(&["a", "b", "c"]).await;
    keep(&database, 2).await;
    let found = database.changes(0).await.expect("changes");
    let names: Vec<_> = found.rows.iter().map(|row| row.name.as_str()).collect();
    assert_eq!((names, found.forgotten), (vec!["b", "c"], 4));
}

#[tokio::test]
async fn nothing_is_forgotten_while_there_is_room() {
    let database = with_removed(&["a", "b"]).await;
    keep(&database, 2).await;
    let found = database.changes(0).await.expect("changes");
    assert_eq!((found.rows.len(), found.forgotten), (2, 0));
}

#[tokio::test]
async fn a_revision_is_not_given_again_after_all_changes_were_forgotten() {
    let database = with_removed(&["a"]).await;
    keep(&database, 0).await;
    let put = database.put_record("server", "a", "{}", Precondition::Absent).await;
    assert_eq!(put.expect("put").map(|version| version.0.get()), Some(3));
}
