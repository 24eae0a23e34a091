//! The store: opening it, and checking that the keys fit.

#[cfg(feature = "sqlite")]
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use portolan_core::{Clock, Error, Result, ToolSetCache};
use tokio::sync::watch;

use crate::{
    Keyring, SqlConfig, envelope::Envelopes, error::SqlError, feed::Tail, messages::Messages, rows::Dialect,
    seal::OpenError,
};

/// How often the keys are checked again when other processes add some meanwhile.
const CHECKS: usize = 32;

/// Registry, credential store, session store, one-time store and bus in one SQL database.
///
/// It implements [`Registry`](portolan_core::Registry), [`CredentialStore`](portolan_core::CredentialStore),
/// [`SessionStore`](portolan_core::SessionStore), [`OneTimeStore`](portolan_core::OneTimeStore) and
/// [`Bus`](portolan_core::Bus). Clones are cheap and share one set of connections; the change feeds of
/// a store end when its last clone is dropped.
///
/// ```
/// use std::sync::Arc;
/// use portolan_core::{Precondition, Registry, RegistryExt, ServerSpec, SystemClock};
/// use portolan_storage_sql::SqlStore;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> portolan_core::Result<()> {
/// let store = SqlStore::in_memory(Arc::new(SystemClock)).await?;
/// let server = ServerSpec::command("time", "uvx", ["mcp-server-time"])?;
/// Registry::put(&store, server.clone().into(), Precondition::Absent).await?;
/// assert_eq!(store.server(&server.name).await?.value, server);
/// # Ok(())
/// # }
/// ```
///
/// # The change feed
///
/// The feed holds the last change of each key, so it is as long as there are keys. It remembers the last 65,536 removals
/// (up to 1,024 more until it is next trimmed). A follower whose revision is older than a forgotten removal gets
/// [`Error::Conflict`](portolan_core::Error::Conflict) instead of a gap: it reads everything again and follows from
/// `Revision(0)`.
///
/// # Leases
///
/// A lease ends by the [`Clock`] that the store was given. Processes on one file must agree on the time.
#[derive(Clone, Debug)]
pub struct SqlStore {
    pub(crate) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) rows: Arc<dyn Dialect>,
    pub(crate) envelopes: Envelopes,
    pub(crate) clock: Arc<dyn Clock>,
    /// The tool sets that are in memory.
    pub(crate) tools: ToolSetCache,
    /// Signalled after each change that this store makes. Feeds end with it.
    pub(crate) changed: watch::Sender<()>,
    pub(crate) feed: Arc<Tail>,
    pub(crate) messages: Arc<Messages>,
}

impl SqlStore {
    /// Opens the database at `address`: a URL `postgres://…`, or the path of an SQLite database, also as `sqlite:<path>`.
    ///
    /// It is [`connect_with`](Self::connect_with) with the default configuration.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use portolan_core::SystemClock;
    /// use portolan_storage_sql::{SealingKeys, SqlStore};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> portolan_core::Result<()> {
    /// let keys = SealingKeys::new(&[7; 32])?; // 32 random bytes here
    /// let store = SqlStore::connect("sqlite::memory:", keys, Arc::new(SystemClock)).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`connect_with`](Self::connect_with).
    pub async fn connect(address: &str, keys: impl Into<Keyring>, clock: Arc<dyn Clock>) -> Result<Self> {
        Self::connect_with(address, &SqlConfig::new(), keys, clock).await
    }

    /// Opens the database at `address` as `config` says.
    ///
    /// A URL is `postgres://user:password@host:port/database`, with `%XX` for special characters, and may have the
    /// parameters `host`, `port`, `user`, `password`, `dbname`, `sslmode`, `sslrootcert`, `sslcert`, `sslkey` and
    /// `application_name`. What it leaves out is not taken from `PGPASSWORD` and the like or from a password file; only
    /// `PGOPTIONS`, `PGSSLROOTCERT`, `PGSSLCERT` and `PGSSLKEY` are read by the driver. Without `sslrootcert`, the
    /// authorities are those of Mozilla.
    ///
    /// The schema is brought up to date, also when several processes start at once, unless `config` forbids it. `keys`
    /// must be those that the database was made with; nothing is written otherwise. On PostgreSQL 13 and newer, in a
    /// database whose encoding is UTF8.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`](portolan_core::Error::Invalid) for an address that is none, that has a parameter which would be
    /// ignored, or whose connection would not be checked (see [`TlsRule`](crate::TlsRule)), and for keys that do not fit;
    /// [`Error::Backend`](portolan_core::Error::Backend) if the database refuses, or its schema is of a newer release or
    /// not up to date; [`Error::Unavailable`](portolan_core::Error::Unavailable) if it does not answer. None shows a
    /// password.
    pub async fn connect_with(
        address: &str,
        config: &SqlConfig,
        keys: impl Into<Keyring>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self> {
        let rows = dialect(address, config, clock.now()).await?;
        Self::with(rows, keys.into(), clock).await
    }

    /// Keeps everything in the host's own PostgreSQL database, over the host's connections, in the schema that `config`
    /// names.
    ///
    /// The pool stays the host's: [`close`](Self::close) does not close it. `config` must say so if the pool leads to a
    /// transaction pooler; then its connections must have no `extra_float_digits` and no `options`. Give its connections
    /// a `statement_timeout`. Each process makes one connection more, with the options of the pool or to the direct
    /// address, to listen for changes.
    ///
    /// The pool is of sqlx 0.9, which this crate exports as [`sqlx`](crate::sqlx).
    ///
    /// ```no_run
    /// use std::sync::Arc;
    /// use portolan_core::SystemClock;
    /// use portolan_storage_sql::{SealingKeys, SqlConfig, SqlStore, sqlx::PgPool};
    ///
    /// # async fn open(pool: PgPool, keys: SealingKeys) -> portolan_core::Result<()> {
    /// let config = SqlConfig::new().with_schema("mcp");
    /// let store = SqlStore::from_postgres_pool(pool, &config, keys, Arc::new(SystemClock)).await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`connect_with`](Self::connect_with).
    #[cfg(feature = "postgres")]
    pub async fn from_postgres_pool(
        pool: sqlx::PgPool,
        config: &SqlConfig,
        keys: impl Into<Keyring>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self> {
        let database = crate::postgres::Database::from_pool(pool, config, clock.now()).await?;
        Self::with(Box::new(database), keys.into(), clock).await
    }

    /// Opens the SQLite database at `path`, and creates it where there is none.
    ///
    /// The directory must exist. The schema is brought up to date, also when several processes start at once. `keys` must
    /// be those that the database was made with; nothing is written otherwise.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`](portolan_core::Error::Invalid) if the database was made with other keys, and says which are
    /// missing; [`Error::Backend`](portolan_core::Error::Backend) if there can be no database at `path`, or its schema is
    /// of a newer release; [`Error::Unavailable`](portolan_core::Error::Unavailable) if it is locked for too long.
    #[cfg(feature = "sqlite")]
    pub async fn open(path: impl AsRef<Path>, keys: impl Into<Keyring>, clock: Arc<dyn Clock>) -> Result<Self> {
        let database = crate::sqlite::Database::open(path.as_ref(), crate::Migrations::Run, clock.now()).await?;
        Self::with(Box::new(database), keys.into(), clock).await
    }

    /// Keeps everything in the host's own SQLite database, over the host's connections.
    ///
    /// The tables are made there; their names begin with `portolan_`. The pool stays the host's: [`close`](Self::close)
    /// does not close it. Its connections must have `synchronous = FULL`, or an acknowledged write can be lost with the
    /// power. They should have WAL, a busy timeout and `secure_delete`, as those of [`open`](Self::open) have, and a database
    /// in memory must have one connection only. Reads and writes wait for a connection as long as the pool says.
    ///
    /// The pool is of sqlx 0.9, which this crate exports as [`sqlx`](crate::sqlx).
    ///
    /// ```
    /// use std::sync::Arc;
    /// use portolan_core::SystemClock;
    /// use portolan_storage_sql::{SealingKeys, SqlStore, sqlx::sqlite::SqlitePoolOptions};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let pool = SqlitePoolOptions::new().max_connections(1).connect("sqlite::memory:").await?;
    /// let keys = SealingKeys::new(&[7; 32])?; // 32 random bytes here
    /// let store = SqlStore::from_pool(pool, keys, Arc::new(SystemClock)).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`open`](Self::open); [`Error::Backend`](portolan_core::Error::Backend) for connections that do not wait
    /// for the disk.
    #[cfg(feature = "sqlite")]
    pub async fn from_pool(pool: sqlx::SqlitePool, keys: impl Into<Keyring>, clock: Arc<dyn Clock>) -> Result<Self> {
        let database = crate::sqlite::Database::from_pool(pool, crate::Migrations::Run, clock.now()).await?;
        Self::with(Box::new(database), keys.into(), clock).await
    }

    /// Opens a store in memory, with sealing keys of its own, for tests. It is gone when its last clone is dropped.
    ///
    /// # Errors
    ///
    /// [`Error::Backend`](portolan_core::Error::Backend) if SQLite cannot be used at all.
    #[cfg(feature = "sqlite")]
    pub async fn in_memory(clock: Arc<dyn Clock>) -> Result<Self> {
        let database = crate::sqlite::Database::in_memory(clock.now()).await?;
        Self::with(Box::new(database), crate::SealingKeys::random()?.into(), clock).await
    }

    /// Closes all connections, after what they are doing. Later calls fail as unavailable.
    ///
    /// Nothing is lost without it. With it, the file alone holds everything when this returns and no other process has it
    /// open, so it can be copied without its `-wal`. It does nothing to a [pool of the host's](Self::from_pool).
    pub async fn close(&self) {
        self.inner.rows.close().await;
    }

    async fn with(rows: Box<dyn Dialect>, keys: Keyring, clock: Arc<dyn Clock>) -> Result<Self> {
        let envelopes = Envelopes::new(keys);
        check_keys(rows.as_ref(), &envelopes).await?;
        let rows: Arc<dyn Dialect> = rows.into();
        let changed = watch::Sender::new(());
        Ok(Self {
            inner: Arc::new(Inner {
                feed: Arc::new(Tail::new(Arc::clone(&rows), changed.clone())),
                messages: Arc::new(Messages::new(Arc::clone(&rows), Arc::clone(&clock))),
                rows,
                envelopes,
                clock,
                tools: ToolSetCache::default(),
                changed,
            }),
        })
    }
}

/// Opens the database at `address`, in the dialect that it is for.
async fn dialect(address: &str, config: &SqlConfig, now: Timestamp) -> Result<Box<dyn Dialect>> {
    #[cfg(feature = "postgres")]
    if crate::postgres::is_address(address) {
        return Ok(Box::new(
            crate::postgres::Database::connect(address, config, now).await?,
        ));
    }
    // The address itself may hold a password, so it is not shown.
    if address.contains("://") && !address.starts_with("sqlite://") {
        let problem = "is of a database that this build does not know; use postgres:// with the feature postgres, sqlite:, \
                       or a path";
        return Err(Error::invalid("database URL", problem));
    }
    #[cfg(feature = "sqlite")]
    {
        let database = crate::sqlite::Database::at(address, config.migrations, now).await?;
        Ok(Box::new(database))
    }
    #[cfg(not(feature = "sqlite"))]
    Err(Error::invalid(
        "database URL",
        "is a path; build with the feature sqlite, or give a URL postgres://",
    ))
}

/// Refuses keys that cannot open what is there, and notes the one that wraps from now on.
///
/// Providers are asked outside of a transaction, so this begins again where somebody else has added a key meanwhile. Of
/// two processes with different keys, only one takes a new database for its own.
async fn check_keys(rows: &dyn Dialect, envelopes: &Envelopes) -> Result<(), SqlError> {
    let mut checked = Vec::new();
    for _ in 0..CHECKS {
        let probes = rows.probes().await?;
        for probe in &probes {
            if checked.contains(&probe.key_id) {
                continue;
            }
            envelopes.check(probe).await.map_err(|error| refuse(rows, error))?;
            checked.push(probe.key_id.clone());
        }
        let Some(own) = envelopes.own_probe(&probes).await? else {
            continue;
        };
        if rows.add_probe(&own, &checked).await? {
            return Ok(());
        }
    }
    let problem = "other processes change its keys all the time; let one of them start alone";
    Err(SqlError::Keys {
        place: rows.place().into(),
        problem: problem.into(),
    })
}

fn refuse(rows: &dyn Dialect, error: OpenError) -> SqlError {
    if let OpenError::Provider(error) = &error
        && error.is_retryable()
    {
        return error.clone().into();
    }
    SqlError::Keys {
        place: rows.place().into(),
        problem: format!(
            "needs other keys ({error}): give the keys that it was made with, from a backup of its key file if that \
             file is gone; keys that were replaced go to SealingKeys::with_older, or with their provider to \
             Keyring::with_older"
        ),
    }
}
