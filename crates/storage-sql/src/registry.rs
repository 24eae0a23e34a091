//! The registry. It keeps records as the JSON that serde writes, and the tools of installs once for each content.

use std::cmp::Ordering;

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use portolan_core::{
    Change, Error, Install, Key, Owner, Page, Precondition, Record, RecordKind, Registry, Result, Revision, ServerName,
    ToolSet, ToolSetDigest, Version, Versioned,
};

use crate::{
    SqlStore,
    error::SqlError,
    feed,
    rows::{NewRecord, NewToolSet, RecordRow},
};

/// The most bytes of a record as JSON, with its tools.
const MAX_RECORD: usize = 16 << 20;
/// The most records of a page.
const MAX_PAGE: usize = 500;

#[async_trait]
impl Registry for SqlStore {
    async fn get(&self, key: &Key) -> Result<Option<Versioned<Record>>> {
        let (kind, name) = (key.kind(), key.name());
        let Some(row) = self.inner.rows.record(kind.as_str(), &name).await? else {
            return Ok(None);
        };
        match self.read(kind, &row)? {
            Some(record) => Ok(Some(record)),
            None => Ok(self.read_whole(kind, &name).await?),
        }
    }

    async fn put(&self, mut record: Record, when: Precondition) -> Result<Version> {
        let key = record.key();
        let (kind, name) = (key.kind().as_str(), key.name());
        let json = |error: serde_json::Error| Error::invalid(kind, error.to_string());
        let mut install = None;
        if let Record::Install(found) = &mut record {
            let owner = serde_json::to_string(&found.owner).map_err(json)?;
            install = Some((found.server.clone(), owner, std::mem::take(&mut found.tools)));
        }
        let body = serde_json::to_string(&record).map_err(json)?;
        let tools = install
            .as_ref()
            .map(|(_, _, tools)| tools)
            .filter(|tools| !tools.is_empty());
        let size = body.len() + tools.map_or(0, ToolSet::json_len);
        if size > MAX_RECORD {
            let problem = format!("{name:?} has {size} bytes; make it smaller than {MAX_RECORD}");
            return Err(Error::invalid(kind, problem));
        }
        let digest = tools.map(ToolSet::digest);
        let text = || tools.map(ToolSet::json).unwrap_or_default();
        let row = NewRecord {
            kind,
            name: &name,
            body: &body,
            tools: digest.as_ref().map(|digest| NewToolSet {
                digest: digest.as_bytes(),
                body: &text,
            }),
            server: install.as_ref().map(|(server, ..)| server.as_str()),
            owner: install.as_ref().map(|(_, owner, _)| owner.as_str()),
        };
        let Some(version) = self.inner.rows.put_record(&row, when).await? else {
            return Err(Error::conflict(kind, name));
        };
        self.inner.changed.send_replace(());
        Ok(version)
    }

    async fn remove(&self, key: &Key, when: Precondition) -> Result<()> {
        let (kind, name) = (key.kind().as_str(), key.name());
        if !self.inner.rows.remove_record(kind, &name, when).await? {
            return Err(Error::conflict(kind, name));
        }
        self.inner.changed.send_replace(());
        Ok(())
    }

    async fn list(&self, kind: RecordKind, page: Page) -> Result<Vec<Versioned<Record>>> {
        let Some(after) = after(kind, &page)? else {
            return Ok(Vec::new());
        };
        let limit = page.limit.min(MAX_PAGE);
        let rows = self.inner.rows.records(kind.as_str(), &after, limit).await?;
        self.read_all(kind, rows).await
    }

    async fn installs_of(
        &self,
        server: &ServerName,
        owner: Option<&Owner>,
        page: Page,
    ) -> Result<Vec<Versioned<Install>>> {
        let kind = RecordKind::Install;
        let Some(after) = after(kind, &page)? else {
            return Ok(Vec::new());
        };
        let owner = owner.map(serde_json::to_string).transpose();
        let owner = owner.map_err(|error| Error::invalid("owner", error.to_string()))?;
        let limit = page.limit.min(MAX_PAGE);
        let rows = self
            .inner
            .rows
            .installs(server.as_str(), owner.as_deref(), &after, limit)
            .await?;
        let records = self.read_all(kind, rows).await?.into_iter();
        let installs = records.filter_map(|record| {
            let (value, version) = (Install::try_from(record.value).ok()?, record.version);
            Some(Versioned { value, version })
        });
        Ok(installs.collect())
    }

    async fn revision(&self) -> Result<Revision> {
        Ok(Revision(self.inner.rows.newest_change().await?))
    }

    fn changes(&self, since: Revision) -> BoxStream<'static, Result<Change>> {
        feed::follow(&self.inner.feed, since)
    }
}

/// Returns the name after which a page of one kind begins; `None` if the page is after all of them.
fn after(kind: RecordKind, page: &Page) -> Result<Option<String>> {
    if page.limit == 0 {
        return Err(Error::invalid("page limit", "is 0; ask for one record or more"));
    }
    Ok(match &page.after {
        None => Some(String::new()),
        Some(key) => match key.kind().cmp(&kind) {
            Ordering::Less => Some(String::new()),
            Ordering::Equal => Some(key.name()),
            Ordering::Greater => None,
        },
    })
}

impl SqlStore {
    /// Reads the records in rows. One whose tools are not in memory is read again with them: it is as it is then.
    async fn read_all(&self, kind: RecordKind, rows: Vec<RecordRow>) -> Result<Vec<Versioned<Record>>> {
        let mut records = Vec::with_capacity(rows.len());
        for row in rows {
            match self.read(kind, &row)? {
                Some(record) => records.push(record),
                None => records.extend(self.read_whole(kind, &row.name).await?),
            }
        }
        Ok(records)
    }

    /// Reads the record in a row; `None` if its tools are not in memory.
    fn read(&self, kind: RecordKind, row: &RecordRow) -> Result<Option<Versioned<Record>>, SqlError> {
        let mut value = self.parse(kind, row)?;
        if let Record::Install(install) = &mut value {
            install.tools = match &row.tools {
                Some(digest) => match self.inner.tools.get(&self.digest(kind, row, digest)?) {
                    Some(tools) => tools,
                    None => return Ok(None),
                },
                None => self.inner.tools.intern(std::mem::take(&mut install.tools)),
            };
        }
        let version = row.version;
        Ok(Some(Versioned { value, version }))
    }

    /// Reads a record together with its tools, in one look: another write may replace both at any time.
    async fn read_whole(&self, kind: RecordKind, name: &str) -> Result<Option<Versioned<Record>>, SqlError> {
        let Some((row, body)) = self.inner.rows.record_with_tools(kind.as_str(), name).await? else {
            return Ok(None);
        };
        let mut value = self.parse(kind, &row)?;
        if let Record::Install(install) = &mut value {
            let mut tools = std::mem::take(&mut install.tools);
            if let Some(digest) = &row.tools {
                let broken = |problem: &str| {
                    let problem = format!("its tools {problem}; install it again, or restore a backup");
                    self.stored(kind, name, problem)
                };
                let body = body.ok_or_else(|| broken("are missing"))?;
                tools = serde_json::from_str(&body).map_err(|error| broken(&format!("cannot be read ({error})")))?;
                if tools.digest() != self.digest(kind, &row, digest)? {
                    return Err(broken("were changed"));
                }
            }
            install.tools = self.inner.tools.intern(tools);
        }
        let version = row.version;
        Ok(Some(Versioned { value, version }))
    }

    fn parse(&self, kind: RecordKind, row: &RecordRow) -> Result<Record, SqlError> {
        serde_json::from_str(&row.body).map_err(|e| {
            let problem = format!("this release cannot read it ({e}); use the release that wrote it, or put it again");
            self.stored(kind, &row.name, problem)
        })
    }

    fn digest(&self, kind: RecordKind, row: &RecordRow, digest: &[u8]) -> Result<ToolSetDigest, SqlError> {
        let bytes = <[u8; 32]>::try_from(digest);
        let bytes =
            bytes.map_err(|_| self.stored(kind, &row.name, "the digest of its tools is none; install it again"))?;
        Ok(ToolSetDigest::new(bytes))
    }

    fn stored(&self, kind: RecordKind, name: &str, problem: impl Into<String>) -> SqlError {
        SqlError::Stored {
            place: self.inner.rows.place().into(),
            what: format!("{} {name:?}", kind.as_str()),
            problem: problem.into(),
        }
    }
}
