//! Audit records, in partitions by month.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use portolan_core::{AuditEvent, AuditOutcome, AuditSink, GatewayName, ServerName, Subject, memory::ManualClock};
use portolan_storage_sql::{AuditOptions, AuditQuery, SqlAudit, SqlStore};

use crate::support::{Address, Schema, fresh, keys, raw};

mod direct {
    use super::*;

    portolan_core::conformance::audit_suite!(async || {
        SqlAudit::new(&fresh(Address::Direct).await, AuditOptions::default())
    });
}

mod behind_old_pooler {
    use super::*;

    portolan_core::conformance::audit_suite!(async || {
        SqlAudit::new(&fresh(Address::OldPooler).await, AuditOptions::default())
    });
}

fn time(text: &str) -> Timestamp {
    text.parse().expect("a time")
}

fn call(audit: &SqlAudit, at: &str) {
    let (gateway, server) = (GatewayName::parse("default"), ServerName::parse("time"));
    let (gateway, server) = (gateway.expect("a name"), server.expect("a name"));
    let tool = "now \0 ☕";
    audit.record(&AuditEvent::new(
        time(at),
        &gateway,
        &Subject::Org,
        &server,
        tool,
        AuditOutcome::Answered,
    ));
}

async fn partitions(schema: &Schema) -> Vec<(String, i64)> {
    let sql = "SELECT tableoid::regclass::text, count(*) FROM portolan.audit GROUP BY 1 ORDER BY 1";
    let sql = sql.replace("portolan.", &format!("{}.", schema.name));
    let rows: Vec<(String, i64)> = sqlx::query_as(sqlx::AssertSqlSafe(sql))
        .fetch_all(&mut raw(&Address::Direct.url()).await)
        .await
        .expect("partitions");
    let name = |(table, count): (String, i64)| (table.rsplit('.').next().expect("a name").to_owned(), count);
    rows.into_iter().map(name).collect()
}

async fn until(schema: &Schema, wanted: &[(&str, i64)]) {
    let wanted: Vec<_> = wanted
        .iter()
        .map(|(name, count)| ((*name).to_owned(), *count))
        .collect();
    let settled = async {
        while partitions(schema).await != wanted {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    if tokio::time::timeout(Duration::from_secs(30), settled).await.is_err() {
        panic!("{:?} is not {wanted:?}", partitions(schema).await);
    }
}

#[tokio::test]
async fn months_have_partitions_that_go() {
    let schema = Schema::new(Address::Direct);
    let clock = Arc::new(ManualClock::new(time("2026-11-29T12:00:00Z")));
    let open = async || {
        let (url, config) = (schema.address.url(), schema.config());
        SqlStore::connect_with(&url, &config, keys(1), clock.clone())
            .await
            .expect("opens")
    };
    let audit = SqlAudit::new(&open().await, AuditOptions::default());
    let made = async {
        let sql = "SELECT to_regclass($1) IS NOT NULL";
        let mut connection = raw(&Address::Direct.url()).await;
        let last = format!("{}.audit_2027_01", schema.name);
        loop {
            let there: bool = sqlx::query_scalar(sql)
                .bind(&last)
                .fetch_one(&mut connection)
                .await
                .expect("asked");
            if there {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), made)
        .await
        .expect("made ahead");
    for at in [
        "2026-10-31T23:59:59Z",
        "2026-11-01T00:00:00Z",
        "2026-11-30T23:59:59.999999Z",
        "2026-12-01T00:00:00Z",
        "2027-02-01T00:00:00Z",
    ] {
        call(&audit, at);
    }
    audit.flush().await.expect("written");
    until(
        &schema,
        &[("audit_2026_11", 2), ("audit_2026_12", 1), ("audit_other", 2)],
    )
    .await;
    assert_eq!(audit.page(&AuditQuery::new()).await.expect("a page").records.len(), 5);

    // The last record of November is older than 90 days; that of October is, too.
    clock.set(time("2027-03-01T12:00:00Z"));
    let audit = SqlAudit::new(&open().await, AuditOptions::default());
    until(&schema, &[("audit_2026_12", 1), ("audit_other", 1)]).await;
    call(&audit, "2027-03-02T00:00:00Z");
    audit.flush().await.expect("written");
    until(
        &schema,
        &[("audit_2026_12", 1), ("audit_2027_03", 1), ("audit_other", 1)],
    )
    .await;
}
