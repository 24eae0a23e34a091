//! The interface of a SQL dialect: rows in and out, each call one transaction. It knows nothing of what rows mean.

use std::fmt::{self, Debug};

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use portolan_core::{BoxError, Precondition, Version};
use tokio::sync::watch;

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
#[derive(Clone, Debug)]
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

/// A stored session state.
#[derive(Debug)]
pub(crate) struct BlobRow {
    pub(crate) version: Version,
    pub(crate) blob: Vec<u8>,
}

/// A wrapped data key, and the provider's key that wrapped it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WrappedRow {
    pub(crate) key_id: String,
    pub(crate) data_key: Vec<u8>,
}

/// A sealed text. Without a data key, a key sealed it directly, or it is empty.
#[derive(Clone, Debug)]
pub(crate) struct SealedRow {
    pub(crate) sealed: Vec<u8>,
    pub(crate) wrapped: Option<WrappedRow>,
}

/// A key that a database needs, with the text that shows whether a key is that one.
#[derive(Clone, Debug)]
pub(crate) struct ProbeRow {
    pub(crate) key_id: String,
    /// The wrapped data key of the probe; `None` if the key sealed directly.
    pub(crate) data_key: Option<Vec<u8>>,
    pub(crate) probe: Vec<u8>,
}

/// A stored message of the bus.
#[derive(Debug)]
pub(crate) struct MessageRow {
    pub(crate) id: u64,
    pub(crate) topic: Vec<u8>,
    pub(crate) body: Bytes,
}

/// So many messages are read at once.
pub(crate) const MESSAGES: i64 = 500;
/// So many messages are kept at most, up to the next sweep.
pub(crate) const MAX_MESSAGES: i64 = 8_192;

/// What there may be news about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum News {
    Changes,
    Messages,
}

/// Seals a secret for the version that the database gives it.
pub(crate) type SealAs<'a> = &'a (dyn Fn(Version) -> Result<Vec<u8>, BoxError> + Send + Sync);

/// What is written with a sealed text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WrappedWith<'a> {
    pub(crate) wrapped: &'a WrappedRow,
    /// The probe of the key that wrapped, written in the same transaction where it is not there.
    pub(crate) probe: &'a ProbeRow,
}

/// A table with sealed texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SealedTable {
    Secrets,
    OneTime,
}

/// A record that another key wrapped.
#[derive(Debug)]
pub(crate) struct OldWrapRow {
    pub(crate) key: String,
    /// What tells this state of the record from others: its version, or its expiry.
    pub(crate) state: i64,
    /// The text, where a key sealed it directly.
    pub(crate) direct: Option<Vec<u8>>,
    pub(crate) wrapped: Option<WrappedRow>,
}

/// What takes the place of an [`OldWrapRow`], unless that has changed.
#[derive(Debug)]
pub(crate) struct NewWrapRow {
    pub(crate) old: OldWrapRow,
    /// The text sealed again, where a key had sealed it directly.
    pub(crate) sealed: Option<Vec<u8>>,
    pub(crate) wrapped: WrappedRow,
}

/// A SQL dialect.
///
/// A write whose precondition does not hold writes nothing and gives `None`, or `false`.
#[async_trait]
pub(crate) trait Dialect:
    BackupRows
    + RecordRows
    + SecretRows
    + KeyRows
    + OneTimeRows
    + SessionRows
    + MessageRows
    + AuditRows
    + Debug
    + Send
    + Sync
{
    /// Returns the name of the database for messages: its path.
    fn place(&self) -> &str;

    /// Closes all connections that the store opened, after what they are doing.
    async fn close(&self);

    /// Returns a receiver that is signalled when another process may have written something new, where the database can
    /// tell. A signal may be lost, or be for nothing.
    fn news(&self, about: News) -> Option<watch::Receiver<()>> {
        let _ = about;
        None
    }

    /// Says that something new was found of which no signal came.
    fn missed_news(&self) {}
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
    async fn changes(&self, since: u64) -> Result<ChangeRows>;
    /// Returns the revision of the newest change that the feed holds, or 0. All up to it can be read.
    async fn newest_change(&self) -> Result<u64>;
}

/// Secrets, and leases on them.
#[async_trait]
pub(crate) trait SecretRows {
    async fn secret(&self, key: &str) -> Result<Option<(Version, SealedRow)>>;
    async fn put_secret(
        &self,
        key: &str,
        when: Precondition,
        with: WrappedWith<'_>,
        seal: SealAs<'_>,
    ) -> Result<Option<Version>>;
    async fn remove_secret(&self, key: &str) -> Result<()>;
    async fn secret_keys(&self, prefix: &str, after: &str, limit: usize) -> Result<Vec<String>>;
    async fn take_lease(&self, key: &str, now: Timestamp, ends: Timestamp) -> Result<Option<u64>>;
    async fn release_lease(&self, key: &str, fence: u64) -> Result<()>;
}

/// The keys that wrap data keys, and what they wrapped.
#[async_trait]
pub(crate) trait KeyRows {
    async fn probes(&self) -> Result<Vec<ProbeRow>>;
    /// Adds `own`, unless there is a key that is not among `checked`.
    async fn add_probe(&self, own: &ProbeRow, checked: &[String]) -> Result<bool>;
    /// Returns up to `limit` records after `after` that another key than `current` wrapped, in the order of their keys.
    async fn old_wraps(&self, table: SealedTable, current: &str, after: &str, limit: usize) -> Result<Vec<OldWrapRow>>;
    /// Replaces wrapped keys that have not changed, in one transaction, and returns their number.
    async fn rewrap(&self, table: SealedTable, probe: &ProbeRow, rows: &[NewWrapRow]) -> Result<u64>;
    /// Removes the keys other than `current` that nothing is wrapped with, and returns their ids.
    async fn forget_keys(&self, current: &str) -> Result<Vec<String>>;
}

/// Records that are taken once.
#[async_trait]
pub(crate) trait OneTimeRows {
    /// Writes a record, unless an unexpired one is there.
    async fn put_one_time(
        &self,
        key: &str,
        expires: Timestamp,
        now: Timestamp,
        sealed: &[u8],
        with: Option<WrappedWith<'_>>,
    ) -> Result<bool>;
    /// Returns an unexpired record with its expiry in microseconds.
    async fn one_time(&self, key: &str, now: Timestamp) -> Result<Option<(i64, SealedRow)>>;
    /// Removes the record with this expiry and text; `false` if somebody else did.
    async fn take_one_time(&self, key: &str, expires: i64, sealed: &[u8]) -> Result<bool>;
    async fn sweep_one_time(&self, now: Timestamp) -> Result<u64>;
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

/// Messages of the bus. They become visible in the order of their ids.
#[async_trait]
pub(crate) trait MessageRows {
    async fn add_message(&self, topic: &str, body: &[u8], now: Timestamp) -> Result<u64>;
    async fn messages(&self, after: u64) -> Result<Vec<MessageRow>>;
    /// Returns the id of the newest message that is there, or 0.
    async fn newest_message(&self) -> Result<u64>;
    /// Removes the messages that were sent before a time, and those beyond the bound.
    async fn sweep_messages(&self, before: Timestamp) -> Result<()>;
}

/// An audit record to write.
#[derive(Clone, Debug)]
pub(crate) struct AuditRow {
    pub(crate) at: i64,
    pub(crate) gateway: Option<String>,
    pub(crate) caller: Option<String>,
    pub(crate) server: Option<String>,
    pub(crate) body: String,
}

/// A stored audit record.
#[derive(Debug)]
pub(crate) struct StoredAuditRow {
    pub(crate) id: i64,
    pub(crate) at: i64,
    pub(crate) body: String,
}

/// Which audit records are asked for, newest first. Times are microseconds.
#[derive(Clone, Debug)]
pub(crate) struct AuditFilter {
    pub(crate) from: i64,
    pub(crate) until: i64,
    pub(crate) gateway: Option<String>,
    pub(crate) caller: Option<String>,
    pub(crate) server: Option<String>,
    /// Only what comes after the record with this time and id.
    pub(crate) before: (i64, i64),
    pub(crate) limit: i64,
}

/// Audit records.
#[async_trait]
pub(crate) trait AuditRows {
    async fn add_audit(&self, rows: &[AuditRow]) -> Result<()>;
    async fn audit(&self, filter: &AuditFilter) -> Result<Vec<StoredAuditRow>>;
    /// Makes room for the records to come, where the dialect needs that.
    async fn prepare_audit(&self, now: Timestamp) -> Result<()>;
    /// Removes the records before a time and returns the number of records, or of partitions.
    async fn expire_audit(&self, before: Timestamp) -> Result<u64>;
}

/// So many tool sets are read at once; each may have some 100 KiB.
pub(crate) const TOOL_SETS: i64 = 32;
/// So many records are read at once.
pub(crate) const RECORDS: usize = 500;
/// So many secrets are read at once.
pub(crate) const SECRETS: i64 = 100;

/// A dialect whose content can be moved: everything out of it as it is at one moment, and everything at once into an empty store.
#[async_trait]
pub(crate) trait BackupRows {
    /// Begins to read everything as it is now. It holds a connection until it is dropped.
    async fn snapshot(&self) -> Result<Box<dyn Snapshot + '_>>;

    /// Begins a transaction that fills the store. Dropping it before `commit` leaves nothing.
    async fn fill(&self) -> Result<Box<dyn Filling + '_>>;
}

/// A tool set: its digest, and its definitions as JSON.
pub(crate) type ToolSetRow = (Vec<u8>, String);

/// Everything at one moment, by pages in the order of the keys. An empty page is the end.
#[async_trait]
pub(crate) trait Snapshot: Send {
    async fn tool_sets(&mut self, after: &[u8]) -> Result<Vec<ToolSetRow>>;
    async fn records(&mut self, kind: &str, after: &str) -> Result<Vec<RecordRow>>;
    async fn secrets(&mut self, after: &str) -> Result<Vec<(String, Version, SealedRow)>>;
}

/// A record to be imported. Its tool set was written before.
#[derive(Debug)]
pub(crate) struct ImportedRecord<'a> {
    pub(crate) kind: &'a str,
    pub(crate) name: &'a str,
    pub(crate) body: &'a str,
    pub(crate) tools: Option<&'a [u8]>,
    pub(crate) server: Option<&'a str>,
    pub(crate) owner: Option<&'a str>,
}

/// A transaction that writes everything.
#[async_trait]
pub(crate) trait Filling: Send {
    /// Returns `true` if the store has no record yet.
    async fn is_empty(&mut self) -> Result<bool>;
    async fn tool_set(&mut self, digest: &[u8], body: &str) -> Result<()>;
    async fn record(&mut self, record: &ImportedRecord<'_>) -> Result<()>;
    async fn secret(&mut self, key: &str, with: WrappedWith<'_>, seal: SealAs<'_>) -> Result<()>;
    async fn commit(self: Box<Self>) -> Result<()>;
}

/// Returns `true` if `when` holds for a record whose version is `current`.
pub(crate) fn holds(when: Precondition, current: Option<Version>) -> bool {
    match when {
        Precondition::None => true,
        Precondition::Absent => current.is_none(),
        Precondition::Version(wanted) => current == Some(wanted),
    }
}
