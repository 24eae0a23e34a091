//! Writing a backup.

use std::borrow::Cow;

use portolan_core::{RecordKind, Result};
use serde_json::value::RawValue;
use tokio::io::AsyncWrite;
use zeroize::Zeroizing;

use super::{
    BackupKey, BackupSummary,
    content::{Entry, RecordEntry, VERSION},
    error::BackupError,
    stream::SealedWriter,
};
use crate::{SqlStore, hex, rows::Snapshot};

/// The kinds of record, in the order in which they are written: what others name comes first.
const KINDS: [RecordKind; 4] = [
    RecordKind::Server,
    RecordKind::Install,
    RecordKind::Gateway,
    RecordKind::Token,
];

impl SqlStore {
    /// Writes the whole installation to `to`, sealed with `key`: servers, installs, gateways, token grants and secrets as
    /// they are at one moment. [`import`](Self::import) reads it into an empty store of any dialect, under that store's own
    /// sealing keys.
    ///
    /// It is written as it is read, so it needs little memory, and holds one connection until its end. Sessions, one-time
    /// records, leases and audit records are not in it. On PostgreSQL, a writer that takes nothing for 5 minutes ends it.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use portolan_core::SystemClock;
    /// use portolan_storage_sql::{BackupKey, SqlStore};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> portolan_core::Result<()> {
    /// let store = SqlStore::in_memory(Arc::new(SystemClock)).await?;
    /// let (key, mut file) = (BackupKey::generate()?, Vec::new());
    /// store.export(&key, &mut file).await?;
    ///
    /// let other = SqlStore::in_memory(Arc::new(SystemClock)).await?;
    /// other.import(&key, file.as_slice()).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Backend`](portolan_core::Error::Backend) if `to` cannot be written or a secret does not open;
    /// [`Error::Unavailable`](portolan_core::Error::Unavailable) if the database does not answer. What was written is no
    /// backup then, and `import` refuses it.
    pub async fn export(&self, key: &BackupKey, to: impl AsyncWrite + Send + Unpin) -> Result<BackupSummary> {
        let mut snapshot = self.inner.rows.snapshot().await?;
        let mut export = Export {
            store: self,
            to: SealedWriter::begin(to, key).await?,
            summary: BackupSummary::default(),
        };
        let exported = self.inner.clock.now().to_string();
        export
            .entry(&Entry::Head {
                version: VERSION,
                exported,
            })
            .await?;
        export.tool_sets(&mut *snapshot).await?;
        for kind in KINDS {
            export.records(&mut *snapshot, kind).await?;
        }
        export.secrets(&mut *snapshot).await?;
        drop(snapshot);
        let summary = export.summary;
        export.entry(&Entry::End(summary)).await?;
        export.to.finish().await?;
        Ok(summary)
    }
}

struct Export<'a, W> {
    store: &'a SqlStore,
    to: SealedWriter<W>,
    summary: BackupSummary,
}

impl<W: AsyncWrite + Send + Unpin> Export<'_, W> {
    async fn entry(&mut self, entry: &Entry<'_>) -> Result<()> {
        let text = serde_json::to_vec(entry).map_err(|error| BackupError::Content(error.to_string()))?;
        Ok(self.to.entry(&Zeroizing::new(text)).await?)
    }

    async fn tool_sets(&mut self, snapshot: &mut dyn Snapshot) -> Result<()> {
        let mut after = Vec::new();
        loop {
            let page = snapshot.tool_sets(&after).await?;
            let Some((last, _)) = page.last() else { return Ok(()) };
            after.clone_from(last);
            for (digest, body) in &page {
                let tools = raw(body, "a list of tools")?;
                let digest = hex::encode(digest);
                self.entry(&Entry::ToolSet { digest, tools }).await?;
                self.summary.tool_sets += 1;
            }
        }
    }

    async fn records(&mut self, snapshot: &mut dyn Snapshot, kind: RecordKind) -> Result<()> {
        let mut after = String::new();
        loop {
            let page = snapshot.records(kind.as_str(), &after).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after.clone_from(&last.name);
            for row in &page {
                let record = RecordEntry {
                    kind: kind.as_str().into(),
                    name: Cow::Borrowed(&row.name),
                    body: raw(&row.body, &row.name)?,
                    tools: row.tools.as_deref().map(hex::encode),
                };
                self.entry(&Entry::Record(Box::new(record))).await?;
                self.summary.records += 1;
            }
        }
    }

    async fn secrets(&mut self, snapshot: &mut dyn Snapshot) -> Result<()> {
        let mut after = String::new();
        loop {
            let page = snapshot.secrets(&after).await?;
            let Some((last, ..)) = page.last() else { return Ok(()) };
            after.clone_from(last);
            for (key, version, row) in &page {
                let value = self.store.open_secret(key, *version, row).await?;
                let (key, value) = (Cow::Borrowed(key.as_str()), Cow::Borrowed(value.reveal()));
                self.entry(&Entry::Secret { key, value }).await?;
                self.summary.secrets += 1;
            }
        }
    }
}

fn raw<'a>(text: &'a str, what: &str) -> Result<Cow<'a, RawValue>, BackupError> {
    serde_json::from_str(text)
        .map(Cow::Borrowed)
        .map_err(|error| BackupError::Content(format!("{what:?} is not stored as JSON ({error})")))
}
