//! Portolan's registry, credential store, session store and bus in SQL.
//!
//! [`SqlStore`] keeps all of them in one database: an SQLite file ([`SqlStore::open`]), PostgreSQL or either by its address
//! ([`SqlStore::connect`], feature `postgres`), or the host's database over the host's connections
//! ([`SqlStore::from_pool`], `SqlStore::from_postgres_pool`). Secrets are sealed before they
//! reach SQL, each under a data key of its own that a [`KeyProvider`](portolan_core::KeyProvider) such as [`SealingKeys`] wraps, so
//! the database and its backups hold none in the clear.
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
//!   `synchronous = FULL`, so a commit returns when it is on disk; a PostgreSQL server whose `synchronous_commit` is off is
//!   refused.
//! - Several processes may use one database: on one machine one file, on several machines one PostgreSQL database. Each
//!   looks for the changes of the others four times a second, and PostgreSQL tells it of them at once.
//! - A call fails as [unavailable](portolan_core::Error::Unavailable) while the database is away, and may succeed later.
//!   After such an error of a write it is unknown whether it was done: the connection may have broken in the commit.
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
//! | a one-time record | see [`OneTimeStore`](portolan_core::OneTimeStore) |
//! | unwrapped data keys in memory | 10,000, for an hour each |
//! | audit records that wait to be written | 8,192; see [`AuditOptions`] |
//! | removals that the change feed remembers | 65,536 and up to 1,024 more; see [`SqlStore`] |
//! | changes that are kept in memory for followers that are behind | 4,096; then they read the table |
//! | a topic of the bus, a message | 255 bytes, 64 KiB |
//! | messages of the bus that are kept for readers whose database was away | those of a minute, 8,192 at most |
//! | messages that a slow subscriber may be behind before it loses the oldest | 1,024 |
//! | waiting for a connection, and then for other processes that write | on SQLite 10 seconds each; on PostgreSQL as configured, and 10 seconds; then a retryable error |
//! | a statement on PostgreSQL, and a transaction that does nothing | 30 seconds each |
//!
//! An SQLite file must be on a local disk: WAL does not work over a network file system.

#[cfg(not(any(feature = "sqlite", feature = "postgres")))]
compile_error!("portolan-storage-sql needs a database: enable its feature `sqlite` or `postgres`");

mod audit;
mod backup;
mod bus;
mod config;
mod credentials;
mod envelope;
mod error;
mod feed;
mod hex;
mod key_file;
mod keyring;
mod messages;
mod one_time;
#[cfg(feature = "postgres")]
mod postgres;
mod registry;
mod rewrap;
mod rows;
mod seal;
mod sessions;
#[cfg(feature = "sqlite")]
mod sqlite;
mod steps;
mod store;
mod wait;

pub use audit::{AuditCursor, AuditOptions, AuditPage, AuditQuery, AuditRecord, SqlAudit, StoredEvent};
pub use backup::{BackupKey, BackupSummary};
pub use config::{Migrations, SqlConfig, TlsRule};
pub use keyring::Keyring;
pub use rewrap::{RewrapTask, Rewrapped};
pub use seal::SealingKeys;
/// The library whose pools [`SqlStore`] takes.
pub use sqlx;
pub use store::SqlStore;
