//! The database of a platform: an SQLite file, or PostgreSQL at a URL.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use portolan_core::{Clock, CredentialStore, Result, Secret};
use portolan_gateway::TokenKeys;
use portolan_storage_sql::{Keyring, SealingKeys, SqlConfig, SqlStore};

/// The key file of a database that is at a URL.
const KEY_FILE: &str = "portolan.keys";

/// Where the database is.
#[derive(Clone, Debug)]
pub(crate) enum Database {
    /// An SQLite file.
    File(PathBuf),
    /// A URL, which may hold a password.
    Url(Secret),
}

impl Database {
    /// Tells a URL of PostgreSQL from the path of a file.
    pub(crate) fn at(address: &Path) -> Self {
        match address.to_str() {
            Some(url) if url.starts_with("postgres://") || url.starts_with("postgresql://") => {
                Self::Url(Secret::new(url))
            }
            _ => Self::File(address.to_owned()),
        }
    }

    /// Returns `true` if processes on other machines may use it at the same time.
    pub(crate) fn is_shared(&self) -> bool {
        matches!(self, Self::Url(_))
    }

    /// Loads the keys that seal session ids and cursors. Replicas that share a database share them through it.
    pub(crate) async fn token_keys(&self, credentials: &dyn CredentialStore) -> Result<TokenKeys> {
        match self {
            Self::File(path) => TokenKeys::load_or_create(beside(path, ".token-keys")),
            Self::Url(_) => TokenKeys::load_or_create_in(credentials).await,
        }
    }

    fn sealing_keys(&self) -> Result<SealingKeys> {
        match self {
            Self::File(path) => SealingKeys::load_or_create(beside(path, ".keys")),
            Self::Url(_) => SealingKeys::load_or_create(KEY_FILE),
        }
    }
}

/// The store in the database, opened when the first part asks for it.
pub(crate) struct LazyStore {
    database: Database,
    config: SqlConfig,
    keys: Option<Keyring>,
    clock: Arc<dyn Clock>,
    opened: Option<Arc<SqlStore>>,
}

impl LazyStore {
    pub(crate) fn new(database: Database, config: SqlConfig, keys: Option<Keyring>, clock: Arc<dyn Clock>) -> Self {
        Self {
            database,
            config,
            keys,
            clock,
            opened: None,
        }
    }

    pub(crate) async fn open(&mut self) -> Result<Arc<SqlStore>> {
        if let Some(store) = &self.opened {
            return Ok(store.clone());
        }
        let keys = match self.keys.take() {
            Some(keys) => keys,
            None => self.database.sealing_keys()?.into(),
        };
        let clock = self.clock.clone();
        let store = match &self.database {
            Database::File(path) => SqlStore::open(path, keys, clock).await?,
            Database::Url(url) => SqlStore::connect_with(url.reveal(), &self.config, keys, clock).await?,
        };
        Ok(self.opened.insert(Arc::new(store)).clone())
    }

    /// Returns the store if a part has asked for it.
    pub(crate) fn opened(&self) -> Option<Arc<SqlStore>> {
        self.opened.clone()
    }
}

/// The file beside a database that has this at the end of its name.
fn beside(database: &Path, suffix: &str) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn url_and_path_are_told_apart() {
        for url in ["postgres://a:hunter2@db/x", "postgresql://db/x"] {
            let database = Database::at(Path::new(url));
            assert!(database.is_shared(), "{url}");
            assert!(!format!("{database:?}").contains("hunter2"));
        }
        for path in ["portolan.db", "/data/postgres.db", "postgres:/x", "./postgres://x"] {
            assert!(!Database::at(Path::new(path)).is_shared(), "{path}");
        }
    }
}
