//! The task that writes audit records.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use portolan_core::{Backoff, Result};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep_until},
};

use super::AuditRecord;
use crate::{SqlStore, rows::AuditRow};

/// The most records of one transaction.
const BATCH: usize = 500;
/// How long a batch waits for more, so that a commit, which waits for the disk, is not for one record.
const LINGER: Duration = Duration::from_millis(100);
/// How often old records are removed.
const TIDY_EVERY: Duration = Duration::from_secs(3_600);
/// How often a batch is tried when nobody is left who could flush.
const LAST_TRIES: u32 = 3;

/// What waits in the queue.
#[derive(Debug)]
pub(super) enum Message {
    Record(Box<AuditRecord>),
    /// Asks to be told when all before it is written.
    Flush(oneshot::Sender<Result<()>>),
}

pub(super) struct Writer {
    store: SqlStore,
    retention: Duration,
    dropped: Arc<AtomicU64>,
}

impl Writer {
    pub(super) fn new(store: SqlStore, retention: Duration, dropped: Arc<AtomicU64>) -> Self {
        Self {
            store,
            retention,
            dropped,
        }
    }

    pub(super) async fn run(self, mut waiting: mpsc::Receiver<Message>) {
        let mut tidy_at = Instant::now();
        loop {
            let mut messages = Vec::new();
            tokio::select! {
                biased;
                received = waiting.recv_many(&mut messages, BATCH) => if received == 0 {
                    return;
                },
                () = sleep_until(tidy_at) => {
                    self.tidy().await;
                    tidy_at = Instant::now() + TIDY_EVERY;
                    continue;
                }
            }
            let flush = |messages: &[Message]| messages.iter().any(|message| matches!(message, Message::Flush(_)));
            let until = Instant::now() + LINGER;
            while messages.len() < BATCH && !flush(&messages) {
                let room = BATCH - messages.len();
                let more = tokio::time::timeout_at(until, waiting.recv_many(&mut messages, room)).await;
                if !matches!(more, Ok(1..)) {
                    break;
                }
            }
            self.write(messages, &waiting).await;
        }
    }

    /// Writes a batch. It is tried again until the database takes it.
    async fn write(&self, messages: Vec<Message>, waiting: &mpsc::Receiver<Message>) {
        let (mut rows, mut flushes) = (Vec::new(), Vec::new());
        for message in messages {
            match message {
                Message::Record(record) => self.push(&mut rows, &record),
                Message::Flush(told) => flushes.push(told),
            }
        }
        let dropped = self.dropped.swap(0, Ordering::Relaxed);
        if dropped > 0 {
            tracing::warn!(dropped, "audit records were dropped: the database did not keep up");
            self.push(
                &mut rows,
                &AuditRecord::of_dropped(self.store.inner.clock.now(), dropped),
            );
        }
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(10));
        let mut failures = 0;
        while !rows.is_empty() {
            let Err(error) = self.store.inner.rows.add_audit(&rows).await else {
                break;
            };
            let error = portolan_core::Error::from(error);
            failures += 1;
            for told in flushes.drain(..) {
                // Whoever asked may be gone.
                let _ = told.send(Err(error.clone()));
            }
            if !error.is_retryable() || (waiting.is_closed() && failures >= LAST_TRIES) {
                let lost = rows.len();
                self.dropped.fetch_add(lost as u64, Ordering::Relaxed);
                tracing::error!(lost, %error, "audit records are lost: the database does not take them");
                return;
            }
            tracing::warn!(waiting = rows.len(), %error, "audit records wait: the database does not take them");
            tokio::time::sleep(backoff.next_delay()).await;
        }
        for told in flushes {
            let _ = told.send(Ok(()));
        }
    }

    fn push(&self, rows: &mut Vec<AuditRow>, record: &AuditRecord) {
        match record.to_row() {
            Ok(row) => rows.push(row),
            Err(error) => {
                self.dropped.fetch_add(1, Ordering::Relaxed);
                tracing::error!(%error, "an audit record cannot be written as JSON");
            }
        }
    }

    /// Makes room for what comes, and removes what is too old.
    async fn tidy(&self) {
        let inner = &self.store.inner;
        let now = inner.clock.now();
        if let Err(error) = inner.rows.prepare_audit(now).await {
            tracing::warn!(%error, "no partition was made for audit records, which go to the one for all others");
        }
        let retention = SignedDuration::try_from(self.retention).unwrap_or(SignedDuration::MAX);
        let before = now.checked_sub(retention).unwrap_or(Timestamp::MIN);
        match inner.rows.expire_audit(before).await {
            Ok(0) => {}
            Ok(removed) => tracing::info!(removed, "removed old audit records"),
            Err(error) => tracing::warn!(%error, "old audit records were not removed"),
        }
    }
}
