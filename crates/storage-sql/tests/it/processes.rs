//! Several processes on one file, and their sudden death.

use std::{
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::Arc,
};

use portolan_core::{Page, RecordKind, Registry, RegistryExt, ServerName, SystemClock};
use portolan_storage_sql::{SealingKeys, SqlStore};

use crate::{
    history,
    support::{Place, raw, secret, server, server_key},
};

/// The example `writer`, which cargo builds beside the tests.
fn writer(place: &Place, task: [&str; 2]) -> Child {
    let database = place.database();
    let address = database.to_str().expect("text");
    let this = std::env::current_exe().expect("this test");
    let target: PathBuf = this.ancestors().nth(2).expect("target directory").into();
    let program = target.join("examples/writer");
    Command::new(&program)
        .args([address, "portolan"])
        .arg(place.path("key"))
        .args(task)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|e| {
            panic!("{program:?} does not start ({e}); run cargo test without --test, or build --examples")
        })
}

async fn store(place: &Place) -> SqlStore {
    let keys = SealingKeys::load_or_create(place.path("key")).expect("keys");
    SqlStore::open(place.database(), keys, Arc::new(SystemClock))
        .await
        .expect("the store opens")
}

/// So many writes of a record and a secret are acknowledged before the children are killed for the last time.
const ACKNOWLEDGED: usize = 500;

#[tokio::test]
async fn acknowledged_writes_survive_kill_9() {
    let place = Place::new();
    let mut acknowledged: Vec<String> = Vec::new();
    let mut killed = 0;
    for round in 0.. {
        if acknowledged.len() >= ACKNOWLEDGED {
            break;
        }
        let mut children = ["x", "y"].map(|tag| writer(&place, ["fill", &format!("{tag}{round}")]));
        // A child that is killed while it writes, another that waits for its turn or writes as well.
        let outputs = children
            .each_mut()
            .map(|child| BufReader::new(child.stdout.take().expect("piped")).lines());
        let [mut first, mut second] = outputs;
        for _ in 0..3 + round % 8 * 7 {
            acknowledged.push(first.next().expect("goes on").expect("a line"));
        }
        for child in &mut children {
            child.kill().expect("killed");
            child.wait().expect("ended");
            killed += 1;
        }
        acknowledged.extend(first.by_ref().map_while(Result::ok));
        acknowledged.extend(second.by_ref().map_while(Result::ok));
    }

    let store = store(&place).await;
    for name in &acknowledged {
        let found = Registry::get(&store, &server_key(name)).await.expect("get");
        assert_eq!(
            found.map(|found| found.value),
            Some(server(name)),
            "{name} was acknowledged"
        );
        let found = secret(&store, &format!("kill/{name}")).await.expect("read");
        assert_eq!(found, Some(format!("secret of {name}")));
    }
    let mut connection = raw(&place.database()).await;
    let check: String = sqlx::query_scalar("PRAGMA integrity_check")
        .fetch_one(&mut connection)
        .await
        .expect("check");
    assert_eq!(check, "ok");
    let torn: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM portolan_records r FULL JOIN portolan_changes c ON r.kind = c.kind AND r.name = c.name \
         WHERE r.version IS NOT c.revision",
    )
    .fetch_one(&mut connection)
    .await
    .expect("count");
    assert_eq!(torn, 0, "a record without its change, or the other way round");
    let listed = store.servers().await.expect("servers").len();
    // At most one write of each child was done without being told.
    assert!(
        (acknowledged.len()..=acknowledged.len() + killed).contains(&listed),
        "{listed} of {}",
        acknowledged.len()
    );
}

#[tokio::test]
async fn concurrent_processes_lose_no_update() {
    let place = Place::new();
    let children: Vec<_> = (0..4).map(|_| writer(&place, ["count", "40"])).collect();
    for child in children {
        let output = child.wait_with_output().expect("ended");
        assert!(output.status.success(), "{output:?}");
    }
    let store = store(&place).await;
    let counter = store
        .server(&ServerName::parse("counter").expect("a name"))
        .await
        .expect("is there");
    assert_eq!(counter.value.description.as_deref(), Some("160"));
    assert_eq!(
        Registry::list(&store, RecordKind::Server, Page::first())
            .await
            .expect("list")
            .len(),
        1
    );
}

/// Runs eight writers at once, and returns what they printed.
fn eight(place: &Place, task: [&str; 2]) -> String {
    let children: Vec<_> = (0..8).map(|_| writer(place, task)).collect();
    children
        .into_iter()
        .map(|child| {
            let output = child.wait_with_output().expect("ended");
            assert!(output.status.success(), "{output:?}");
            String::from_utf8(output.stdout).expect("text")
        })
        .collect()
}

#[tokio::test]
async fn eight_processes_migrate_once() {
    for _ in 0..5 {
        let place = Place::new();
        eight(&place, ["open", "-"]);
        let mut connection = raw(&place.database()).await;
        let steps: (i64, i64) = sqlx::query_as("SELECT count(*), count(DISTINCT version) FROM portolan_schema")
            .fetch_one(&mut connection)
            .await
            .expect("count");
        assert_eq!(steps.0, steps.1);
    }
}

#[tokio::test]
async fn compare_and_set_is_linearizable() {
    let place = Place::new();
    let printed = eight(&place, ["swap", "60"]);
    assert!(history::check(printed.lines()) > 0);
}
