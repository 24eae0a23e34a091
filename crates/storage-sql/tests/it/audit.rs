//! Audit records in the database.

use std::{sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use portolan_core::{
    AuditEvent, AuditOutcome, AuditSink, AuthErrorKind, AuthFailed, DefinitionChange, GatewayName, ServerName, Subject,
    UserId, memory::ManualClock,
};
use portolan_storage_sql::{AuditOptions, AuditQuery, AuditRecord, SqlAudit, SqlStore, StoredEvent};

use crate::support::{Place, keys, raw, store_on_file};

portolan_core::conformance::audit_suite!(async || { SqlAudit::new(&store_on_file().await, AuditOptions::default()) });

fn time(second: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + second).expect("a time")
}

/// The times of these tests are years ago.
fn options() -> AuditOptions {
    AuditOptions::default().with_retention(Duration::from_secs(20 * 365 * 86_400))
}

fn gateway(name: &str) -> GatewayName {
    GatewayName::parse(name).expect("a name")
}

fn user(name: &str) -> Subject {
    Subject::User(UserId::parse(name).expect("a user"))
}

fn call(audit: &SqlAudit, second: i64, names: [&str; 3]) {
    let [to, by, server] = names;
    let (gateway, user) = (gateway(to), user(by));
    let server = ServerName::parse(server).expect("a name");
    let outcome = AuditOutcome::Answered;
    audit.record(&AuditEvent::new(time(second), &gateway, &user, &server, "tool", outcome).with_client("inspector"));
}

async fn all(audit: &SqlAudit, query: AuditQuery) -> Vec<AuditRecord> {
    let (mut records, mut query) = (Vec::new(), query.with_limit(7));
    loop {
        let page = audit.page(&query).await.expect("a page");
        assert!(page.records.len() <= 7);
        records.extend(page.records);
        let Some(next) = page.next else {
            return records;
        };
        query = query.after(next.to_string().parse().expect("a cursor"));
    }
}

#[tokio::test]
async fn records_are_kept_whole() {
    let place = Place::new();
    let audit = SqlAudit::new(&place.store().await, options());
    call(&audit, 1, ["default", "alice", "github"]);
    audit.auth_failed(&AuthFailed::new(time(2), &gateway("default"), AuthErrorKind::Expired));
    let server = ServerName::parse("github").expect("a name");
    audit.definition_changed(&DefinitionChange::new(&server, "tool", "ab12", "cd34"));
    audit.flush().await.expect("written");

    let records = all(&audit, AuditQuery::new()).await;
    assert_eq!(records.len(), 3, "{records:?}");
    assert!(matches!(&records[0].event, StoredEvent::DefinitionChanged { after, .. } if after == "cd34"));
    assert!(matches!(&records[1].event, StoredEvent::AuthFailed { .. }));
    let call = &records[2];
    assert_eq!((call.at, call.client.as_deref()), (time(1), Some("inspector")));
    assert_eq!(
        (call.caller.as_deref(), call.gateway.as_deref()),
        (Some("user:alice"), Some("default"))
    );
    assert!(matches!(&call.event, StoredEvent::Call { outcome, tool, .. } if outcome == "answered" && tool == "tool"));
}

#[tokio::test]
async fn pages_filter_and_lose_nothing() {
    let place = Place::new();
    let audit = SqlAudit::new(&place.store().await, options());
    // Several at one time, so that a cursor by time alone would lose some.
    for number in 0..120 {
        let by = if number % 3 == 0 { "alice" } else { "bob" };
        let to = if number % 2 == 0 { "one" } else { "two" };
        let server = if number % 5 == 0 { "github" } else { "time" };
        call(&audit, number / 10, [to, by, server]);
    }
    audit.flush().await.expect("written");
    let count = async |query: AuditQuery| all(&audit, query).await.len();
    assert_eq!(count(AuditQuery::new()).await, 120);
    assert_eq!(count(AuditQuery::new().with_caller(&user("alice"))).await, 40);
    assert_eq!(count(AuditQuery::new().with_gateway(&gateway("one"))).await, 60);
    let github = ServerName::parse("github").expect("a name");
    assert_eq!(count(AuditQuery::new().with_server(&github)).await, 24);
    let both = AuditQuery::new()
        .with_caller(&user("alice"))
        .with_gateway(&gateway("one"));
    assert_eq!(count(both.with_server(&github)).await, 4);
    assert_eq!(count(AuditQuery::new().since(time(3)).until(time(5))).await, 20);
    let times: Vec<_> = all(&audit, AuditQuery::new())
        .await
        .iter()
        .map(|record| record.at)
        .collect();
    assert!(times.is_sorted_by(|one, two| one >= two), "newest first");
}

#[tokio::test]
async fn full_queue_drops_and_counts() {
    let place = Place::new();
    let store = place.store().await;
    let audit = SqlAudit::new(&store, options().with_queue(50));
    // The task has had no turn yet: all this is before the first await.
    for _ in 0..100 {
        audit.auth_failed(&AuthFailed::new(time(0), &gateway("default"), AuthErrorKind::Invalid));
    }
    for number in 0..100 {
        call(&audit, number, ["default", "alice", "time"]);
    }
    audit.flush().await.expect("written");
    call(&audit, 200, ["default", "alice", "time"]);
    audit.flush().await.expect("written");
    let records = all(&audit, AuditQuery::new()).await;
    let logins = records
        .iter()
        .filter(|record| matches!(record.event, StoredEvent::AuthFailed { .. }))
        .count();
    let calls = records
        .iter()
        .filter(|record| matches!(record.event, StoredEvent::Call { .. }))
        .count();
    let dropped: Vec<u64> = records
        .iter()
        .filter_map(|record| match record.event {
            StoredEvent::Dropped { count } => Some(count),
            _ => None,
        })
        .collect();
    assert_eq!((logins, calls), (25, 26), "strangers fill half of the queue");
    assert_eq!(dropped, [75 + 75]);
}

#[tokio::test]
async fn records_wait_while_the_database_is_away() {
    let place = Place::new();
    let store = place.store().await;
    let audit = SqlAudit::new(&store, options());
    audit.flush().await.expect("nothing yet");
    let mut host = raw(&place.database()).await;
    sqlx::raw_sql("BEGIN IMMEDIATE")
        .execute(&mut host)
        .await
        .expect("the lock");
    call(&audit, 1, ["default", "alice", "time"]);
    let error = audit.flush().await.expect_err("locked");
    assert!(error.is_retryable(), "{error:?}");
    sqlx::raw_sql("ROLLBACK").execute(&mut host).await.expect("free");
    audit.flush().await.expect("written");
    assert_eq!(all(&audit, AuditQuery::new()).await.len(), 1);
}

#[tokio::test]
async fn last_clone_leaves_nothing_behind() {
    let place = Place::new();
    let store = place.store().await;
    let audit = SqlAudit::new(&store, options());
    for number in 0..700 {
        call(&audit, number, ["default", "alice", "time"]);
    }
    drop(audit);
    let again = SqlAudit::new(&store, options());
    let written = async {
        while all(&again, AuditQuery::new()).await.len() < 700 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), written)
        .await
        .expect("all of them");
}

#[tokio::test]
async fn old_records_go() {
    let place = Place::new();
    let clock = Arc::new(ManualClock::new(time(0)));
    let open = async || {
        SqlStore::open(place.database(), keys(1), clock.clone())
            .await
            .expect("opens")
    };
    let audit = SqlAudit::new(&open().await, AuditOptions::default());
    for day in 0..100 {
        call(&audit, day * 86_400, ["default", "alice", "time"]);
    }
    audit.flush().await.expect("written");
    clock.set(time(0) + SignedDuration::from_hours(24 * 120));
    let audit = SqlAudit::new(&open().await, AuditOptions::default());
    let gone = async {
        while all(&audit, AuditQuery::new()).await.len() > 70 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), gone)
        .await
        .expect("90 days are kept");
    assert_eq!(all(&audit, AuditQuery::new()).await.len(), 70);
}

#[tokio::test]
async fn long_texts_are_cut() {
    let place = Place::new();
    let audit = SqlAudit::new(&place.store().await, options());
    let (gateway, user) = (gateway("default"), user("alice"));
    let server = ServerName::parse("time").expect("a name");
    let tool = "é".repeat(100_000);
    audit.record(&AuditEvent::new(
        time(0),
        &gateway,
        &user,
        &server,
        &tool,
        AuditOutcome::Failed,
    ));
    audit.flush().await.expect("written");
    let records = all(&audit, AuditQuery::new()).await;
    assert!(matches!(&records[0].event, StoredEvent::Call { tool, .. } if tool.len() < 1_100 && tool.ends_with('…')));
}

#[tokio::test]
async fn queries_use_their_indexes() {
    let place = Place::new();
    let _store = place.store().await;
    let mut connection = raw(&place.database()).await;
    let statements = [
        ("portolan_audit_at", include_str!("../../src/sqlite/sql/audit_list.sql")),
        (
            "portolan_audit_caller",
            include_str!("../../src/sqlite/sql/audit_list_by_caller.sql"),
        ),
        (
            "portolan_audit_gateway",
            include_str!("../../src/sqlite/sql/audit_list_by_gateway.sql"),
        ),
        (
            "portolan_audit_server",
            include_str!("../../src/sqlite/sql/audit_list_by_server.sql"),
        ),
    ];
    for (index, sql) in statements {
        let sql = sql.split_once('\n').expect("a comment").1;
        let mut query = sqlx::query_as(sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}")));
        for _ in 0..8 {
            query = query.bind(1);
        }
        let plan: Vec<(i64, i64, i64, String)> = query.fetch_all(&mut connection).await.expect("plan");
        let plan: String = plan.into_iter().map(|row| row.3).collect();
        assert!(plan.contains(index) && !plan.contains("TEMP B-TREE"), "{plan}");
    }
}
