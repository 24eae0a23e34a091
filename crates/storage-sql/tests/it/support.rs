//! Places for databases, and what is put there.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use jiff::Timestamp;
use portolan_core::{
    Clock, CredentialKey, CredentialReader, CredentialStore, Error, Key, Precondition, Record, Registry, Result,
    Secret, ServerName, ServerSpec, SystemClock, Version,
};
use portolan_storage_sql::{SealingKeys, SqlStore};
use sqlx::{
    ConnectOptions, SqliteConnection, SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use tempfile::TempDir;

/// A directory that goes when this does.
pub(crate) struct Place(TempDir);

impl Place {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().expect("a directory"))
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.path("portolan.db")
    }

    /// Opens the database of this place.
    pub(crate) async fn store(&self) -> SqlStore {
        open(&self.database()).await.expect("the store opens")
    }
}

/// Keeps a directory as long as the store has its clock.
pub(crate) struct PlaceClock {
    #[allow(dead_code, reason = "held, not read")]
    place: Place,
    clock: Box<dyn Clock>,
}

impl PlaceClock {
    pub(crate) fn new(place: Place, clock: impl Clock + 'static) -> Self {
        let clock = Box::new(clock);
        Self { place, clock }
    }
}

impl fmt::Debug for PlaceClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PlaceClock")
    }
}

impl Clock for PlaceClock {
    fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

/// A store over connections of the host's.
pub(crate) async fn store_in_pool() -> SqlStore {
    let place = Place::new();
    let pool = pool(&place, SqliteSynchronous::Full).await;
    SqlStore::from_pool(pool, keys(1), Arc::new(PlaceClock::new(place, SystemClock)))
        .await
        .expect("the store opens")
}

/// A pool that a host has opened.
pub(crate) async fn pool(place: &Place, synchronous: SqliteSynchronous) -> SqlitePool {
    let options = SqliteConnectOptions::new()
        .filename(place.database())
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(synchronous);
    SqlitePoolOptions::new()
        .max_connections(4)
        .connect_with(options)
        .await
        .expect("a pool")
}

/// A store in a directory that goes when the store does: its clock holds it.
pub(crate) async fn store_on_file() -> SqlStore {
    let place = Place::new();
    let path = place.database();
    SqlStore::open(path, keys(1), Arc::new(PlaceClock::new(place, SystemClock)))
        .await
        .expect("the store opens")
}

pub(crate) fn keys(byte: u8) -> SealingKeys {
    SealingKeys::new(&[byte; 32]).expect("keys")
}

pub(crate) async fn open(path: &Path) -> Result<SqlStore> {
    SqlStore::open(path, keys(1), Arc::new(SystemClock)).await
}

/// A connection past the store.
pub(crate) async fn raw(path: &Path) -> SqliteConnection {
    SqliteConnectOptions::new()
        .filename(path)
        .connect()
        .await
        .expect("a connection")
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

pub(crate) async fn put_server(store: &SqlStore, name: &str) {
    Registry::put(store, server(name), Precondition::None)
        .await
        .expect("put");
}

pub(crate) async fn put_secret(store: &SqlStore, path: &str, text: &str) -> Result<Version> {
    CredentialStore::put(store, &credential(path), Secret::new(text), Precondition::None).await
}

pub(crate) async fn secret(store: &SqlStore, path: &str) -> Result<Option<String>> {
    let found = store.read(&credential(path)).await?;
    Ok(found.map(|found| found.value.reveal().to_owned()))
}

/// All that an error says, causes too.
pub(crate) fn told(error: &Error) -> String {
    let mut text = error.to_string();
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        text.push_str(&format!(": {cause}"));
        next = cause.source();
    }
    text
}
