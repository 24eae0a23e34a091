//! Portolan's registry, credential store and session store in SQL.
//!
//! [`SqlStore`] keeps all three in one SQLite database: a file of its own ([`SqlStore::open`]), or the host's database over
//! the host's connections ([`SqlStore::from_pool`]). [`SealingKeys`] seal secrets before they reach SQL, so the file and
//! its backups hold none in the clear.
//!
//! ```no_run
//! use std::{path::Path, sync::Arc};
//! use portolan_core::{CredentialStore, Registry, SessionStore, SystemClock};
//! use portolan_storage_sql::{SealingKeys, SqlStore};
//!
//! # async fn start(data: &Path) -> portolan_core::Result<()> {
//! let keys = SealingKeys::load_or_create(data.join("portolan.key"))?;
//! let store = SqlStore::open(data.join("portolan.db"), keys, Arc::new(SystemClock)).await?;
//!
//! let registry: Arc<dyn Registry> = Arc::new(store.clone());
//! let credentials: Arc<dyn CredentialStore> = Arc::new(store.clone());
//! let sessions: Arc<dyn SessionStore> = Arc::new(store);
//! # Ok(()) }
//! ```
//!
//! # Guarantees
//!
//! - A write that was acknowledged survives the death of the process and the loss of power: SQLite runs in WAL mode with
//!   `synchronous = FULL`, so a commit returns when it is on disk.
//! - Several processes on one machine may use one file. Each looks for the changes of the others every second.
//! - The file and its `-wal` and `-shm` are created for their owner alone (mode 0600).
//!
//! # Bounds
//!
//! | what | limit |
//! | --- | --- |
//! | a record, as JSON | 16 MiB |
//! | a page of [`list`](portolan_core::Registry::list) | 500 records, and not one more once it holds 8 MiB |
//! | a secret, the state of a session | 1 MiB each |
//! | the key of a session | 1 KiB |
//! | removals that the change feed remembers | 65,536 and up to 1,024 more; see [`SqlStore`] |
//! | waiting for a connection, and then for other processes that write | 10 seconds each, then a retryable error |
//!
//! The file must be on a local disk: WAL does not work over a network file system.

#[cfg(not(any(feature = "sqlite", feature = "postgres")))]
compile_error!("portolan-storage-sql needs a database: enable its feature `sqlite` or `postgres`");

mod bus;
mod config;
mod credentials;
mod error;
mod feed;
mod key_file;
#[cfg(feature = "postgres")]
mod postgres;
mod registry;
mod rows;
mod seal;
mod sessions;
#[cfg(feature = "sqlite")]
mod sqlite;
mod steps;
mod store;
mod wait;

pub use config::{Migrations, SqlConfig, TlsRule};
pub use seal::SealingKeys;
/// The library whose pools [`SqlStore`] takes.
pub use sqlx;
pub use store::SqlStore;
