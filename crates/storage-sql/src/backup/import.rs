//! Reading a backup.

use std::collections::HashSet;

use portolan_core::{CredentialKey, Error, Record, Result};
use tokio::io::AsyncRead;

use super::{
    BackupKey, BackupSummary,
    content::{Entry, RecordEntry, VERSION},
    error::BackupError,
    stream::SealedReader,
};
use crate::{
    SqlStore,
    credentials::identity,
    hex,
    rows::{Filling, ImportedRecord},
};

impl SqlStore {
    /// Reads what [`export`](Self::export) wrote into this store, all of it or nothing.
    ///
    /// The store must have no records yet, so import before a platform is opened on it; secrets of the same keys are
    /// replaced. It is one transaction, which other writers wait for. Secrets are sealed with this store's own keys, and
    /// everything gets new versions. It works between dialects: from SQLite to PostgreSQL and back.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`](portolan_core::Error::Invalid) if the store has records, or the file is no backup, of a newer
    /// release, of another key, cut off or changed; [`Error::Backend`](portolan_core::Error::Backend) if it cannot be read;
    /// [`Error::Unavailable`](portolan_core::Error::Unavailable) if the database or the key provider does not answer.
    pub async fn import(&self, key: &BackupKey, from: impl AsyncRead + Send + Unpin) -> Result<BackupSummary> {
        // Before the transaction: a file that is none shall not stop anybody.
        let mut from = SealedReader::begin(from, key).await?;
        let first = from.entry().await?.ok_or(BackupError::Incomplete)?;
        check_head(parse(&first)?)?;
        let rows = self.inner.rows.clone();
        let mut import = Import {
            store: self,
            to: rows.fill().await?,
            tool_sets: HashSet::new(),
            summary: BackupSummary::default(),
        };
        if !import.to.is_empty().await? {
            let problem = "has records already; import into an empty database";
            return Err(Error::invalid("database", problem));
        }
        let mut end = None;
        while let Some(entry) = from.entry().await? {
            if end.is_some() {
                return Err(content("it goes on after its end"));
            }
            end = import.entry(parse(&entry)?).await?;
        }
        let summary = import.summary;
        if end != Some(summary) {
            return Err(content("it does not hold what its end says"));
        }
        import.to.commit().await?;
        self.inner.changed.send_replace(());
        Ok(summary)
    }
}

struct Import<'a> {
    store: &'a SqlStore,
    to: Box<dyn Filling + 'a>,
    /// 32 bytes for each distinct list of tools.
    tool_sets: HashSet<Vec<u8>>,
    summary: BackupSummary,
}

impl Import<'_> {
    /// Writes what an entry says; returns what the last one says.
    async fn entry(&mut self, entry: Entry<'_>) -> Result<Option<BackupSummary>> {
        match entry {
            Entry::Head { .. } => return Err(content("it has two heads")),
            Entry::ToolSet { digest, tools } => {
                let digest = hex::decode(&digest).ok_or_else(|| content("a digest of tools is none"))?;
                if self.tool_sets.insert(digest.clone()) {
                    self.to.tool_set(&digest, tools.get()).await?;
                }
                self.summary.tool_sets += 1;
            }
            Entry::Record(record) => self.record(&record).await?,
            Entry::Secret { key, value } => self.secret(&key, &value).await?,
            Entry::End(summary) => return Ok(Some(summary)),
        }
        Ok(None)
    }

    async fn record(&mut self, line: &RecordEntry<'_>) -> Result<()> {
        let unread = |problem: String| content(format!("its {} {:?} cannot be read ({problem})", line.kind, line.name));
        let record: Record = serde_json::from_str(line.body.get()).map_err(|error| unread(error.to_string()))?;
        let key = record.key();
        if key.kind().as_str() != line.kind || key.name() != line.name {
            return Err(unread("it is another one".into()));
        }
        let tools = line.tools.as_deref().map(|digits| {
            let digest = hex::decode(digits).filter(|digest| self.tool_sets.contains(digest));
            digest.ok_or_else(|| unread("its tools are missing".into()))
        });
        let tools = tools.transpose()?;
        let owner = match &record {
            Record::Install(install) => {
                let owner = serde_json::to_string(&install.owner).map_err(|error| unread(error.to_string()))?;
                Some((install.server.as_str(), owner))
            }
            _ => None,
        };
        let row = ImportedRecord {
            kind: &line.kind,
            name: &line.name,
            body: line.body.get(),
            tools: tools.as_deref(),
            server: owner.as_ref().map(|(server, _)| *server),
            owner: owner.as_ref().map(|(_, owner)| owner.as_str()),
        };
        self.to.record(&row).await?;
        self.summary.records += 1;
        Ok(())
    }

    async fn secret(&mut self, key: &str, value: &str) -> Result<()> {
        let key = CredentialKey::parse(key)?;
        let envelope = self.store.inner.envelopes.create(identity(key.as_str())).await?;
        let seal = |version: portolan_core::Version| {
            let state = i128::from(version.0.get());
            Ok(envelope.seal(state, value.as_bytes())?)
        };
        self.to.secret(key.as_str(), envelope.with(), &seal).await?;
        self.summary.secrets += 1;
        Ok(())
    }
}

fn parse(entry: &[u8]) -> Result<Entry<'_>> {
    // The error of the parser may show a secret.
    serde_json::from_slice(entry).map_err(|_| content("it has an entry that this release does not know"))
}

fn check_head(head: Entry<'_>) -> Result<()> {
    match head {
        Entry::Head { version, .. } if version <= VERSION => Ok(()),
        Entry::Head { .. } => Err(BackupError::Newer.into()),
        _ => Err(content("it does not begin with its head")),
    }
}

fn content(problem: impl Into<String>) -> Error {
    BackupError::Content(problem.into()).into()
}
