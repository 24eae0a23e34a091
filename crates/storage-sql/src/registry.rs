//! The registry. It keeps records as the JSON that serde writes.

use std::cmp::Ordering;

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use portolan_core::{
    Change, Error, Key, Page, Precondition, Record, RecordKind, Registry, Result, Revision, Version, Versioned,
};

use crate::{
    SqlStore,
    error::SqlError,
    feed,
    rows::{Dialect, RecordRow},
};

/// The most bytes of a record as JSON.
const MAX_RECORD: usize = 16 << 20;
/// The most records of a page.
const MAX_PAGE: usize = 500;

#[async_trait]
impl Registry for SqlStore {
    async fn get(&self, key: &Key) -> Result<Option<Versioned<Record>>> {
        let rows = self.inner.rows.as_ref();
        let row = rows.record(key.kind().as_str(), &key.name()).await?;
        Ok(row.map(|row| read(rows, key.kind(), &row)).transpose()?)
    }

    async fn put(&self, record: Record, when: Precondition) -> Result<Version> {
        let key = record.key();
        let (kind, name) = (key.kind().as_str(), key.name());
        let body = serde_json::to_string(&record).map_err(|e| Error::invalid(kind, e.to_string()))?;
        if body.len() > MAX_RECORD {
            let problem = format!("{name:?} has {} bytes; make it smaller than {MAX_RECORD}", body.len());
            return Err(Error::invalid(kind, problem));
        }
        match self.inner.rows.put_record(kind, &name, &body, when).await? {
            Some(version) => {
                self.inner.changed.send_replace(());
                Ok(version)
            }
            None => Err(Error::conflict(kind, name)),
        }
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
        if page.limit == 0 {
            return Err(Error::invalid("page limit", "is 0; ask for one record or more"));
        }
        let after = match &page.after {
            None => String::new(),
            Some(key) => match key.kind().cmp(&kind) {
                Ordering::Less => String::new(),
                Ordering::Equal => key.name(),
                Ordering::Greater => return Ok(Vec::new()),
            },
        };
        let rows = self.inner.rows.as_ref();
        let found = rows.records(kind.as_str(), &after, page.limit.min(MAX_PAGE)).await?;
        let records: Result<_, SqlError> = found.iter().map(|row| read(rows, kind, row)).collect();
        Ok(records?)
    }

    fn changes(&self, since: Revision) -> BoxStream<'static, Result<Change>> {
        feed::follow(&self.inner.feed, since)
    }
}

/// Reads the record in a row.
fn read(rows: &dyn Dialect, kind: RecordKind, row: &RecordRow) -> Result<Versioned<Record>, SqlError> {
    let value = serde_json::from_str(&row.body).map_err(|e| SqlError::Stored {
        place: rows.place().into(),
        what: format!("{} {:?}", kind.as_str(), row.name),
        problem: format!("this release cannot read it ({e}); use the release that wrote it, or put it again"),
    })?;
    let version = row.version;
    Ok(Versioned { value, version })
}
