//! The interface of a SQL dialect: rows in and out, each call one transaction. It knows nothing of what rows mean.

use std::fmt::Debug;

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

/// Returns why the given keys do not open a probe, or `None` if they do.
pub(crate) type Refuse<'a> = &'a (dyn Fn(&[u8]) -> Option<String> + Send + Sync);

/// A SQL dialect.
///
/// A write whose precondition does not hold writes nothing and gives `None`, or `false`.
#[async_trait]
pub(crate) trait Dialect: RecordRows + SecretRows + SessionRows + MessageRows + Debug + Send + Sync {
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
}

/// Records and their changes.
#[async_trait]
pub(crate) trait RecordRows {
    async fn record(&self, kind: &str, name: &str) -> Result<Option<RecordRow>>;
    async fn put_record(&self, kind: &str, name: &str, body: &str, when: Precondition) -> Result<Option<Version>>;
    async fn remove_record(&self, kind: &str, name: &str, when: Precondition) -> Result<bool>;
    async fn records(&self, kind: &str, after: &str, limit: usize) -> Result<Vec<RecordRow>>;
    async fn changes(&self, since: u64) -> Result<ChangeRows>;
    /// Returns the revision of the newest change that the feed holds, or 0. All up to it can be read.
    async fn newest_change(&self) -> Result<u64>;
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

/// Returns `true` if `when` holds for a record whose version is `current`.
pub(crate) fn holds(when: Precondition, current: Option<Version>) -> bool {
    match when {
        Precondition::None => true,
        Precondition::Absent => current.is_none(),
        Precondition::Version(wanted) => current == Some(wanted),
    }
}
