//! Schemas for stores, and what is put there.

mod instance;
mod parts;

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use jiff::Timestamp;
use portolan_core::{
    Clock, CredentialKey, Error, Key, Precondition, Record, Registry, ServerName, ServerSpec, SystemClock,
};
use portolan_storage_sql::{Keyring, SealingKeys, SqlConfig, SqlStore};
use sqlx::{ConnectOptions, PgConnection, postgres::PgConnectOptions};

pub(crate) use instance::Instance;
pub(crate) use parts::{Address, variable};

/// A schema of its own, which goes when this does.
pub(crate) struct Schema {
    pub(crate) name: String,
    pub(crate) address: Address,
}

static NEXT: AtomicU32 = AtomicU32::new(0);

impl Schema {
    pub(crate) fn new(address: Address) -> Self {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("t{}_{number}", std::process::id());
        Self { name, address }
    }

    pub(crate) fn config(&self) -> SqlConfig {
        self.address.config().with_schema(&self.name)
    }

    pub(crate) async fn open(&self) -> portolan_core::Result<SqlStore> {
        self.open_with(&self.config()).await
    }

    pub(crate) async fn open_with(&self, config: &SqlConfig) -> portolan_core::Result<SqlStore> {
        self.open_keys(config, keys(1)).await
    }

    pub(crate) async fn open_keys(
        &self,
        config: &SqlConfig,
        keys: impl Into<Keyring>,
    ) -> portolan_core::Result<SqlStore> {
        SqlStore::connect_with(&self.address.url(), config, keys, Arc::new(SystemClock)).await
    }

    pub(crate) async fn store(&self) -> SqlStore {
        self.open().await.expect("the store opens")
    }
}

/// Keeps a schema as long as the store has its clock.
struct SchemaClock(#[allow(dead_code, reason = "held, not read")] Schema);

impl fmt::Debug for SchemaClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SchemaClock")
    }
}

impl Clock for SchemaClock {
    fn now(&self) -> Timestamp {
        SystemClock.now()
    }
}

/// A store in a new schema.
pub(crate) async fn fresh(address: Address) -> SqlStore {
    let schema = Schema::new(address);
    let (url, config) = (schema.address.url(), schema.config());
    SqlStore::connect_with(&url, &config, keys(1), Arc::new(SchemaClock(schema)))
        .await
        .expect("the store opens")
}

pub(crate) fn keys(byte: u8) -> SealingKeys {
    SealingKeys::new(&[byte; 32]).expect("keys")
}

/// A connection past the store, to the server itself.
pub(crate) async fn raw(url: &str) -> PgConnection {
    let options: PgConnectOptions = url.parse().expect("a URL");
    options.connect().await.expect("a connection")
}

pub(crate) fn server(name: &str) -> Record {
    ServerSpec::command(name, "uvx", [name]).expect("a server").into()
}

pub(crate) fn server_key(name: &str) -> Key {
    Key::Server(ServerName::parse(name).expect("a name"))
}

pub(crate) fn credential(path: &str) -> CredentialKey {
    CredentialKey::parse(path).expect("a key")
}

/// Opens a store in the database at `url` itself.
pub(crate) async fn open_at(url: &str, config: &SqlConfig) -> SqlStore {
    SqlStore::connect_with(url, config, keys(1), Arc::new(SystemClock))
        .await
        .expect("the store opens")
}

/// Calls until it succeeds, and refuses errors that are not retryable.
macro_rules! until_done {
    ($call:expr) => {
        loop {
            match $call.await {
                Ok(done) => break done,
                Err(error) => assert!(error.is_retryable(), "{}", $crate::support::told(&error)),
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
}
pub(crate) use until_done;

pub(crate) async fn put_server(store: &SqlStore, name: &str) -> portolan_core::Result<()> {
    Registry::put(store, server(name), Precondition::None).await.map(|_| ())
}

/// All that an error says, causes too.
pub(crate) fn told(error: &Error) -> String {
    error.report().to_string()
}
