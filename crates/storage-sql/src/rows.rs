//! The interface of a SQL dialect: rows in and out, each call one transaction. It knows nothing of what rows mean.

use std::fmt::{self, Debug};

use async_trait::async_trait;
use jiff::Timestamp;
use portolan_core::{BoxError, Precondition, Version};

use crate::error::Result;

/// A stored record.
#[derive(Debug)]
pub(crate) struct RecordRow {
    pub(crate) name: String,
    pub(crate) version: Version,
    pub(crate) body: String,
    /// The digest of its tool set; `None` for a record without one, or one whose tools are in the body.
    pub(crate) tools: Option<Vec<u8>>,
}

/// A record to be written.
#[derive(Debug)]
pub(crate) struct NewRecord<'a> {
    pub(crate) kind: &'a str,
    pub(crate) name: &'a str,
    pub(crate) body: &'a str,
    pub(crate) tools: Option<NewToolSet<'a>>,
    /// The columns by which an install is found; `None` for other records.
    pub(crate) server: Option<&'a str>,
    pub(crate) owner: Option<&'a str>,
}

/// The tool set of a record. It is written if there is none of this digest.
pub(crate) struct NewToolSet<'a> {
    pub(crate) digest: &'a [u8],
    pub(crate) body: &'a (dyn Fn() -> String + Send + Sync),
}

impl Debug for NewToolSet<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewToolSet")
            .field("digest", &self.digest)
            .finish_non_exhaustive()
    }
}

/// A stored change.
#[derive(Debug)]
pub(crate) struct ChangeRow {
    pub(crate) revision: u64,
    pub(crate) kind: String,
    pub(crate) name: String,
}

/// A part of the change feed.
#[derive(Debug)]
pub(crate) struct ChangeRows {
    pub(crate) rows: Vec<ChangeRow>,
    /// The greatest revision among removals that the feed no longer holds, read after the rows.
    pub(crate) forgotten: u64,
}

/// A stored secret or session state.
#[derive(Debug)]
pub(crate) struct BlobRow {
    pub(crate) version: Version,
    pub(crate) blob: Vec<u8>,
}

/// A sealing key that a database needs, with the text that shows whether a key is that one.
#[derive(Debug)]
pub(crate) struct ProbeRow {
    pub(crate) key_id: Vec<u8>,
    pub(crate) probe: Vec<u8>,
}

/// Seals a secret for the version that the database gives it.
pub(crate) type SealAs<'a> = &'a (dyn Fn(Version) -> Result<Vec<u8>, BoxError> + Send + Sync);

/// Returns why the given keys do not open a probe, or `None` if they do.
pub(crate) type Refuse<'a> = &'a (dyn Fn(&[u8]) -> Option<String> + Send + Sync);

/// A SQL dialect.
///
/// A write whose precondition does not hold writes nothing and gives `None`, or `false`.
#[async_trait]
pub(crate) trait Dialect: RecordRows + SecretRows + SessionRows + Debug + Send + Sync {
    /// Returns the name of the database for messages: its path.
    fn place(&self) -> &str;

    /// Closes all connections that the store opened, after what they are doing.
    async fn close(&self);
}

/// Records, their changes, and the tool sets that installs share.
///
/// A tool set is there as long as a record names it: who writes or removes the last one that does removes it in the same
/// transaction.
#[async_trait]
pub(crate) trait RecordRows {
    async fn record(&self, kind: &str, name: &str) -> Result<Option<RecordRow>>;
    /// Gives a record and the body of its tool set, in one look.
    async fn record_with_tools(&self, kind: &str, name: &str) -> Result<Option<(RecordRow, Option<String>)>>;
    async fn put_record(&self, record: &NewRecord<'_>, when: Precondition) -> Result<Option<Version>>;
    async fn remove_record(&self, kind: &str, name: &str, when: Precondition) -> Result<bool>;
    async fn records(&self, kind: &str, after: &str, limit: usize) -> Result<Vec<RecordRow>>;
    /// Gives the installs of a server, of one owner or of all, by name.
    async fn installs(&self, server: &str, owner: Option<&str>, after: &str, limit: usize) -> Result<Vec<RecordRow>>;
    /// Gives a revision that no later change precedes; 0 where none is known.
    async fn last_revision(&self) -> Result<u64>;
    async fn changes(&self, since: u64) -> Result<ChangeRows>;
}

/// Secrets, leases on them, and the keys that seal them.
#[async_trait]
pub(crate) trait SecretRows {
    async fn secret(&self, key: &str) -> Result<Option<BlobRow>>;
    async fn put_secret(&self, key: &str, when: Precondition, seal: SealAs<'_>) -> Result<Option<Version>>;
    async fn remove_secret(&self, key: &str) -> Result<()>;
    async fn secret_keys(&self, prefix: &str, after: &str, limit: usize) -> Result<Vec<String>>;
    async fn take_lease(&self, key: &str, now: Timestamp, ends: Timestamp) -> Result<Option<u64>>;
    async fn release_lease(&self, key: &str, fence: u64) -> Result<()>;
    /// Asks `refuse` about each probe that is there, and adds `own` when it refuses none; else gives what it said.
    async fn check_keys(&self, own: ProbeRow, refuse: Refuse<'_>) -> Result<Option<String>>;
}

/// Sessions.
#[async_trait]
pub(crate) trait SessionRows {
    async fn session(&self, key: &str, now: Timestamp) -> Result<Option<BlobRow>>;
    async fn put_session(
        &self,
        key: &str,
        state: &[u8],
        expires: Timestamp,
        now: Timestamp,
        when: Precondition,
    ) -> Result<Option<Version>>;
    async fn remove_session(&self, key: &str) -> Result<()>;
    async fn sweep_sessions(&self, now: Timestamp) -> Result<u64>;
}

/// Returns `true` if `when` holds for a record whose version is `current`.
pub(crate) fn holds(when: Precondition, current: Option<Version>) -> bool {
    match when {
        Precondition::None => true,
        Precondition::Absent => current.is_none(),
        Precondition::Version(wanted) => current == Some(wanted),
    }
}
