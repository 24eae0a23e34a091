//! What a backup needs of a SQL dialect: everything as it is at one moment, and everything at once into an empty store.

use async_trait::async_trait;
use portolan_core::Version;

use crate::{
    error::Result,
    rows::{RecordRow, SealAs, SealedRow, WrappedWith},
};

/// So many tool sets are read at once; each may have some 100 KiB.
pub(crate) const TOOL_SETS: i64 = 32;
/// So many records are read at once.
pub(crate) const RECORDS: usize = 500;
/// So many secrets are read at once.
pub(crate) const SECRETS: i64 = 100;

/// A dialect whose content can be moved.
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
