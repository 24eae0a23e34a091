//! Everything on one machine.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use portolan_core::Result;
use portolan_gateway::StaticTokens;
use portolan_process::{ProcessConfig, ProcessRuntime};
use portolan_storage_sql::{SealingKeys, SqlStore};

use crate::{Components, Platform, Settings};

impl Platform {
    /// A platform on one machine: SQLite in the file `database`, the keys that seal its secrets beside it
    /// (`<database>.keys`, mode 0600), servers as child processes with this process' search path and working directory.
    pub async fn local(database: impl AsRef<Path>) -> Result<Self> {
        Self::local_with(database, ProcessConfig::of_this_process(), Settings::default()).await
    }

    /// The same, with child processes and settings of one's own.
    pub async fn local_with(database: impl AsRef<Path>, processes: ProcessConfig, settings: Settings) -> Result<Self> {
        let database = database.as_ref();
        let keys = SealingKeys::load_or_create(beside(database))?;
        let store = Arc::new(SqlStore::open(database, keys, settings.clock.clone()).await?);
        let tokens = StaticTokens::follow(store.clone(), settings.clock.clone()).await?;
        Self::new(Components {
            registry: store.clone(),
            credentials: store.clone(),
            sessions: store.clone(),
            runtime: Arc::new(ProcessRuntime::new(processes, store)),
            authenticators: vec![Arc::new(tokens)],
            settings,
        })
        .await
    }
}

/// Where the keys of a database are.
fn beside(database: &Path) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(".keys");
    name.into()
}
