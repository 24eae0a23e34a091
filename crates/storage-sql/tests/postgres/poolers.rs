//! Clients that share server connections behind a pooler.

use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use portolan_core::{
    CredentialKey, CredentialReader, CredentialStore, Precondition, Registry, Secret, SessionStore, SystemClock,
};
use portolan_storage_sql::SqlStore;
use sqlx::Executor;

use crate::support::{Address, credential, keys, raw, server, server_key};

/// The clients, on the two server connections that the pooler has for a database.
const CLIENTS: usize = 8;
/// The answers that are checked, of all clients.
const ANSWERS: usize = 100_000;
/// The records of each client.
const RECORDS: usize = 20;

/// A database of its own behind a pooler, so that nobody else takes its server connections.
async fn database(address: Address, name: &str) -> String {
    let mut connection = raw(&Address::Direct.url()).await;
    for sql in [
        format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"),
        format!("CREATE DATABASE {name}"),
    ] {
        connection.execute(sqlx::AssertSqlSafe(sql)).await.expect("a database");
    }
    let url = address.url();
    let (server, _) = url.rsplit_once('/').expect("a path");
    format!("{server}/{name}")
}

/// What one client put, and must get.
struct Client {
    store: SqlStore,
    number: usize,
}

impl Client {
    fn name(&self, record: usize) -> String {
        format!("c{}-{record}", self.number)
    }

    fn key(&self, record: usize) -> CredentialKey {
        credential(&self.name(record))
    }

    async fn prepare(&self) {
        for record in 0..RECORDS {
            let name = self.name(record);
            Registry::put(&self.store, server(&name), Precondition::Absent)
                .await
                .expect("put");
            let secret = Secret::new(format!("secret of {name}"));
            CredentialStore::put(&self.store, &self.key(record), secret, Precondition::Absent)
                .await
                .expect("put");
            let state = Bytes::from(name.clone());
            let (far, past) = (Timestamp::MAX, Timestamp::UNIX_EPOCH);
            SessionStore::put(&self.store, &name, state, far, past, Precondition::Absent)
                .await
                .expect("put");
        }
    }

    /// Asks for one thing, or writes one, and checks that the answers are its own; returns their number.
    async fn ask(&self, turn: usize) -> usize {
        let record = turn % RECORDS;
        let name = self.name(record);
        match turn % 10 {
            0..4 => {
                let found = Registry::get(&self.store, &server_key(&name))
                    .await
                    .expect("get")
                    .expect("is there");
                assert_eq!(found.value, server(&name));
            }
            4..7 => {
                let found = self
                    .store
                    .read(&self.key(record))
                    .await
                    .expect("read")
                    .expect("is there");
                assert_eq!(found.value.reveal(), format!("secret of {name}"));
            }
            7 | 8 => {
                let found = SessionStore::get(&self.store, &name, Timestamp::UNIX_EPOCH).await;
                assert_eq!(found.expect("get").expect("is there").value, name);
            }
            // What is acknowledged is there: a commit that stored nothing would be seen here.
            _ => {
                let put = Registry::put(&self.store, server(&name), Precondition::None).await;
                let found = Registry::get(&self.store, &server_key(&name))
                    .await
                    .expect("get")
                    .expect("is there");
                assert_eq!(found.version, put.expect("put"));
                return 2;
            }
        }
        1
    }
}

async fn every_answer_is_its_own(address: Address, database_name: &str) {
    let url = database(address, database_name).await;
    let direct = Address::Direct.url();
    let (server, _) = direct.rsplit_once('/').expect("a path");
    let config = address
        .config()
        .behind_transaction_pooler(Some(format!("{server}/{database_name}")));
    let config = config.with_max_connections(1);
    let mut clients = Vec::new();
    for number in 0..CLIENTS {
        let store = SqlStore::connect_with(&url, &config, keys(1), Arc::new(SystemClock)).await;
        let client = Client {
            store: store.expect("the store opens"),
            number,
        };
        clients.push(tokio::spawn(async move {
            client.prepare().await;
            let (mut turn, mut answers) = (0, 0);
            while answers < ANSWERS / CLIENTS {
                answers += client.ask(turn).await;
                turn += 1;
            }
        }));
    }
    for client in clients {
        client.await.expect("all answers were its own");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_is_its_own_behind_old_pooler() {
    every_answer_is_its_own(Address::OldPooler, "answers_old").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_is_its_own_behind_new_pooler() {
    every_answer_is_its_own(Address::NewPooler, "answers_new").await;
}
