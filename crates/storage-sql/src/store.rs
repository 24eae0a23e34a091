//! The store: opening it, and checking that the keys fit.

use std::{path::Path, sync::Arc};

use portolan_core::{Clock, Result, ToolSetCache};
use tokio::sync::watch;

use crate::{
    SealingKeys,
    error::SqlError,
    rows::{Dialect, ProbeRow},
    seal::PROBE,
};

/// Registry, credential store and session store in one SQL database.
///
/// It implements [`Registry`](portolan_core::Registry), [`CredentialStore`](portolan_core::CredentialStore) and
/// [`SessionStore`](portolan_core::SessionStore). Clones are cheap and share one set of connections; the change feeds of
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
    pub(crate) rows: Box<dyn Dialect>,
    pub(crate) keys: SealingKeys,
    pub(crate) clock: Arc<dyn Clock>,
    /// The tool sets that are in memory.
    pub(crate) tools: ToolSetCache,
    /// Signalled after each change that this store makes. Feeds end with it.
    pub(crate) changed: watch::Sender<()>,
}

impl SqlStore {
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
    pub async fn open(path: impl AsRef<Path>, keys: SealingKeys, clock: Arc<dyn Clock>) -> Result<Self> {
        let database = crate::sqlite::Database::open(path.as_ref(), clock.now()).await?;
        Self::with(Box::new(database), keys, clock).await
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
    pub async fn from_pool(pool: sqlx::SqlitePool, keys: SealingKeys, clock: Arc<dyn Clock>) -> Result<Self> {
        let database = crate::sqlite::Database::from_pool(pool, clock.now()).await?;
        Self::with(Box::new(database), keys, clock).await
    }

    /// Opens a store in memory, with sealing keys of its own, for tests. It is gone when its last clone is dropped.
    ///
    /// # Errors
    ///
    /// [`Error::Backend`](portolan_core::Error::Backend) if SQLite cannot be used at all.
    #[cfg(feature = "sqlite")]
    pub async fn in_memory(clock: Arc<dyn Clock>) -> Result<Self> {
        let database = crate::sqlite::Database::in_memory(clock.now()).await?;
        Self::with(Box::new(database), SealingKeys::random()?, clock).await
    }

    /// Closes all connections, after what they are doing. Later calls fail as unavailable.
    ///
    /// Nothing is lost without it. With it, the file alone holds everything when this returns and no other process has it
    /// open, so it can be copied without its `-wal`. It does nothing to a [pool of the host's](Self::from_pool).
    pub async fn close(&self) {
        self.inner.rows.close().await;
    }

    async fn with(rows: Box<dyn Dialect>, keys: SealingKeys, clock: Arc<dyn Clock>) -> Result<Self> {
        check_keys(rows.as_ref(), &keys).await?;
        Ok(Self {
            inner: Arc::new(Inner {
                rows,
                keys,
                clock,
                tools: ToolSetCache::default(),
                changed: watch::Sender::new(()),
            }),
        })
    }
}

/// Refuses keys that cannot open what is there, and notes the one that will seal from now on.
async fn check_keys(rows: &dyn Dialect, keys: &SealingKeys) -> Result<(), SqlError> {
    let probe = keys.seal(PROBE, b"portolan").map_err(|source| SqlError::Seal {
        place: rows.place().into(),
        action: "seal the probe of the keys".into(),
        source,
    })?;
    let own = ProbeRow {
        key_id: keys.primary_id().to_vec(),
        probe,
    };
    let refuse = |probe: &[u8]| keys.open(PROBE, probe).err().map(|error| error.to_string());
    let Some(error) = rows.check_keys(own, &refuse).await? else {
        return Ok(());
    };
    Err(SqlError::Keys {
        place: rows.place().into(),
        problem: format!(
            "needs other keys ({error}): give the keys that it was made with, from a backup of its key file if that \
             file is gone; keys that were replaced go to SealingKeys::with_older"
        ),
    })
}
