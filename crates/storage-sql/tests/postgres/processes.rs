//! Several processes on one database, and their sudden death.

use std::{
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::Arc,
};

use portolan_core::{CredentialReader, Registry, RegistryExt, ServerName, SystemClock};
use portolan_storage_sql::{SealingKeys, SqlStore};
use tempfile::TempDir;

use crate::{
    history,
    support::{Address, Schema, credential, raw, server, server_key},
};

/// So many writes of a record and a secret are acknowledged before the children are killed for the last time.
const ACKNOWLEDGED: usize = 1_000;

/// A schema and the keys of its processes.
struct Place {
    schema: Schema,
    folder: TempDir,
}

impl Place {
    fn new() -> Self {
        Self {
            schema: Schema::new(Address::Direct),
            folder: tempfile::tempdir().expect("a folder"),
        }
    }

    fn key_file(&self) -> PathBuf {
        self.folder.path().join("key")
    }

    /// Starts the example `writer`, which cargo builds beside the tests.
    fn writer(&self, task: [&str; 2]) -> Child {
        let this = std::env::current_exe().expect("this test");
        let target: PathBuf = this.ancestors().nth(2).expect("target directory").into();
        Command::new(target.join("examples/writer"))
            .args([&self.schema.address.url(), &self.schema.name])
            .arg(self.key_file())
            .args(task)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the example writer is built")
    }

    /// Runs eight writers at once, and returns what they printed.
    fn eight(&self, task: [&str; 2]) -> String {
        let children: Vec<_> = (0..8).map(|_| self.writer(task)).collect();
        children
            .into_iter()
            .map(|child| {
                let output = child.wait_with_output().expect("ended");
                assert!(output.status.success(), "{output:?}");
                String::from_utf8(output.stdout).expect("text")
            })
            .collect()
    }

    async fn store(&self) -> SqlStore {
        let keys = SealingKeys::load_or_create(self.key_file()).expect("keys");
        let (url, config) = (self.schema.address.url(), self.schema.config());
        SqlStore::connect_with(&url, &config, keys, Arc::new(SystemClock))
            .await
            .expect("the store opens")
    }

    async fn count(&self, sql: &str) -> i64 {
        let sql = sql.replace("own.", &format!("{}.", self.schema.name));
        sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
            .fetch_one(&mut raw(&self.schema.address.url()).await)
            .await
            .expect("count")
    }
}

#[tokio::test]
async fn eight_processes_migrate_once() {
    for _ in 0..5 {
        let place = Place::new();
        place.eight(["open", "-"]);
        assert_eq!(
            place.count("SELECT count(*) - max(number) FROM own.schema_steps").await,
            0
        );
    }
}

#[tokio::test]
async fn compare_and_set_is_linearizable() {
    let place = Place::new();
    let printed = place.eight(["swap", "200"]);
    assert!(history::check(printed.lines()) > 0);
}

#[tokio::test]
async fn concurrent_processes_lose_no_update() {
    let place = Place::new();
    place.eight(["count", "40"]);
    let name = ServerName::parse("counter").expect("a name");
    let counter = place.store().await.server(&name).await.expect("is there");
    assert_eq!(counter.value.description.as_deref(), Some("320"));
}

#[tokio::test]
async fn acknowledged_writes_survive_kill_9() {
    let place = Place::new();
    let mut acknowledged: Vec<String> = Vec::new();
    let mut killed = 0;
    while acknowledged.len() < ACKNOWLEDGED {
        let mut children = ["x", "y"].map(|tag| place.writer(["fill", &format!("{tag}{killed}")]));
        let outputs = children
            .each_mut()
            .map(|child| BufReader::new(child.stdout.take().expect("piped")).lines());
        let [mut first, mut second] = outputs;
        for _ in 0..10 + killed * 7 % 60 {
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

    let store = place.store().await;
    for name in &acknowledged {
        let found = Registry::get(&store, &server_key(name)).await.expect("get");
        assert_eq!(
            found.map(|found| found.value),
            Some(server(name)),
            "{name} was acknowledged"
        );
        let found = store.read(&credential(&format!("kill/{name}"))).await.expect("read");
        assert_eq!(found.expect("is there").value.reveal(), format!("secret of {name}"));
    }
    let torn = "SELECT count(*) FROM own.records r FULL JOIN own.changes c USING (kind, name) \
                WHERE r.version IS DISTINCT FROM c.revision";
    assert_eq!(
        place.count(torn).await,
        0,
        "a record without its change, or the other way round"
    );
    let stored = usize::try_from(place.count("SELECT count(*) FROM own.records").await).expect("few");
    // At most one write of each child was done without being told.
    assert!(
        (acknowledged.len()..=acknowledged.len() + killed).contains(&stored),
        "{stored}"
    );
}
