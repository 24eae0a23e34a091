//! The store: what is open, and that it fits.

use std::{path::Path, sync::Arc};

use portolan_core::{Clock, Result};
use tokio::sync::watch;

use crate::{
    SealingKeys,
    error::SqlError,
    rows::{Dialect, ProbeRow},
    seal::PROBE,
};

/// The registry, the credentials and the sessions in one SQL database.
///
/// It implements [`Registry`](portolan_core::Registry), [`CredentialStore`](portolan_core::CredentialStore) and
/// [`SessionStore`](portolan_core::SessionStore). Clones are cheap and share one set of connections; the change feeds of
/// a store end when its last clone is dropped.
///
/// # The change feed
///
/// Of each key the feed holds the last change, so it is as long as there are keys. Of keys that were removed it
/// remembers the last 65,536 (up to 1,024 more until the next tidying). A follower that was away for so long that a
/// removal after its revision is forgotten gets [`Error::Conflict`](portolan_core::Error::Conflict) instead of a gap: it
/// reads everything again and follows from `Revision(0)`.
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
    /// Told after each change that this store makes. Its end is the end of the feeds.
    pub(crate) changed: watch::Sender<()>,
}

impl SqlStore {
    /// Opens the SQLite database at `path`, and creates it where there is none.
    ///
    /// The directory must be there. The schema is brought up to date, also when several processes start at once, and a
    /// schema of a newer release is refused. `keys` must be those that the database was made with, or
    /// [`Error::Invalid`](portolan_core::Error::Invalid) says which are missing; nothing is written then.
    #[cfg(feature = "sqlite")]
    pub async fn open(path: impl AsRef<Path>, keys: SealingKeys, clock: Arc<dyn Clock>) -> Result<Self> {
        let database = crate::sqlite::Database::open(path.as_ref(), clock.now()).await?;
        Self::with(Box::new(database), keys, clock).await
    }

    /// A store in memory, with sealing keys of its own, for tests: it is gone when it is dropped.
    #[cfg(feature = "sqlite")]
    pub async fn in_memory(clock: Arc<dyn Clock>) -> Result<Self> {
        let database = crate::sqlite::Database::in_memory(clock.now()).await?;
        Self::with(Box::new(database), SealingKeys::random()?, clock).await
    }

    /// Ends all connections, after what they are doing. Calls that come later fail as unavailable.
    ///
    /// Nothing is lost without it. With it, the file alone holds everything when this returns and nobody else has it
    /// open, so it can be copied without its `-wal`.
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
