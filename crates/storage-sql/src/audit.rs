//! The audit sink: a bounded queue before the database, and pages out of it.

mod query;
mod record;
mod writer;

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use jiff::Timestamp;
use portolan_core::{AuditEvent, AuditSink, AuthErrorKind, AuthFailed, DefinitionChange, Error, Result, TraceAudit};
use tokio::sync::{mpsc, oneshot};

pub use query::{AuditCursor, AuditPage, AuditQuery};
pub use record::{AuditRecord, StoredEvent};

use crate::SqlStore;
use writer::{Message, Writer};

/// Settings of a [`SqlAudit`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct AuditOptions {
    /// How long records are kept. Default: 90 days. On PostgreSQL they go by whole months, so up to a month later.
    pub retention: Duration,
    /// The most records that wait for the database, of at most some 10 KiB each. Default: 8,192.
    pub queue: usize,
}

impl Default for AuditOptions {
    fn default() -> Self {
        Self {
            retention: Duration::from_secs(90 * 24 * 3_600),
            queue: 8_192,
        }
    }
}

impl AuditOptions {
    /// Sets how long records are kept.
    #[must_use]
    pub fn with_retention(mut self, retention: Duration) -> Self {
        self.retention = retention;
        self
    }

    /// Sets the most records that wait for the database, at least 1.
    #[must_use]
    pub fn with_queue(mut self, queue: usize) -> Self {
        self.queue = queue.max(1);
        self
    }
}

/// An [`AuditSink`] that keeps records in a [`SqlStore`]'s database.
///
/// A record waits in a bounded queue, and a task writes what waits in batches, ten times a second at most. While the
/// database is away, records wait. When the queue is full they are dropped and counted, and a record with their number
/// ([`StoredEvent::Dropped`]) follows once the database is back. Failed logins, which strangers cause, fill at most half of
/// the queue; requests without a credential are not stored at all. Texts are cut to 1 KiB.
///
/// What waits is lost when the process dies. Call [`flush`](Self::flush) when the host shuts down. Clones share a queue; the
/// task ends, after what waits, when the last one is dropped, and keeps the store open until then.
///
/// ```
/// use std::sync::Arc;
/// use portolan_core::{AuditEvent, AuditOutcome, AuditSink, Clock, GatewayName, ServerName, Subject, SystemClock};
/// use portolan_storage_sql::{AuditOptions, AuditQuery, SqlAudit, SqlStore};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> portolan_core::Result<()> {
/// let store = SqlStore::in_memory(Arc::new(SystemClock)).await?;
/// let audit = SqlAudit::new(&store, AuditOptions::default());
/// let (gateway, server) = (GatewayName::parse("default")?, ServerName::parse("github")?);
/// let (now, outcome) = (SystemClock.now(), AuditOutcome::Answered);
/// audit.record(&AuditEvent::new(now, &gateway, &Subject::Org, &server, "create_issue", outcome));
///
/// audit.flush().await?;
/// let page = audit.page(&AuditQuery::new().with_server(&server)).await?;
/// assert_eq!(page.records[0].caller.as_deref(), Some("org"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct SqlAudit {
    store: SqlStore,
    queue: mpsc::Sender<Message>,
    dropped: Arc<AtomicU64>,
}

impl SqlAudit {
    /// Starts a sink into the database of `store`. Must be called on a tokio runtime with time.
    pub fn new(store: &SqlStore, options: AuditOptions) -> Self {
        let (queue, waiting) = mpsc::channel(options.queue.max(1));
        let dropped = Arc::new(AtomicU64::new(0));
        let writer = Writer::new(store.clone(), options.retention, Arc::clone(&dropped));
        tokio::spawn(writer.run(waiting));
        Self {
            store: store.clone(),
            queue,
            dropped,
        }
    }

    /// Waits until everything that was recorded before is in the database.
    ///
    /// # Errors
    ///
    /// The error of the database, if it does not take the records now. They go on waiting.
    pub async fn flush(&self) -> Result<()> {
        let ended = || Error::unavailable("audit records", "the task that writes them has ended");
        let (told, done) = oneshot::channel();
        self.queue.send(Message::Flush(told)).await.map_err(|_| ended())?;
        done.await.map_err(|_| ended())?
    }

    /// Returns a page of stored records, newest first.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] or [`Error::Backend`] of the database.
    pub async fn page(&self, query: &AuditQuery) -> Result<AuditPage> {
        let rows = self.store.inner.rows.audit(&query.filter()).await?;
        let full = rows.len() == query.limit();
        let next = rows
            .last()
            .filter(|_| full)
            .map(|row| AuditCursor { at: row.at, id: row.id });
        let mut records = Vec::with_capacity(rows.len());
        for row in rows {
            let mut record: AuditRecord = serde_json::from_str(&row.body)
                .map_err(|e| Error::backend("SQL store", format!("read audit record {}", row.id), e))?;
            record.at = Timestamp::from_microsecond(row.at).unwrap_or(Timestamp::MIN);
            records.push(record);
        }
        Ok(AuditPage { records, next })
    }

    fn add(&self, record: AuditRecord) {
        if self.queue.try_send(Message::Record(Box::new(record))).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl AuditSink for SqlAudit {
    fn record(&self, event: &AuditEvent<'_>) {
        self.add(AuditRecord::of_call(event));
    }

    fn auth_failed(&self, event: &AuthFailed<'_>) {
        if event.reason == AuthErrorKind::Missing {
            return TraceAudit.auth_failed(event);
        }
        // The rest of the queue is for calls.
        if self.queue.capacity() <= self.queue.max_capacity() / 2 {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        self.add(AuditRecord::of_failed_login(event));
    }

    fn definition_changed(&self, change: &DefinitionChange<'_>) {
        // An alarm is told at once, too.
        TraceAudit.definition_changed(change);
        self.add(AuditRecord::of_change(self.store.inner.clock.now(), change));
    }
}

impl fmt::Debug for SqlAudit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let waiting = self.queue.max_capacity() - self.queue.capacity();
        f.debug_struct("SqlAudit")
            .field("waiting", &waiting)
            .field("dropped", &self.dropped)
            .finish_non_exhaustive()
    }
}
