//! The messages of the bus: in a table for a minute, and read once for all subscribers of a store.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt};
use jiff::{SignedDuration, Timestamp};
use portolan_core::{Clock, Result};
use tokio::{
    sync::{
        broadcast::{self, error::RecvError},
        watch,
    },
    time::Instant,
};

use crate::{
    rows::{Dialect, MessageRow, News},
    wait::{Waiting, wait},
};

/// The most messages that a slow subscriber may be behind before it loses the oldest.
const CAPACITY: usize = 1_024;
/// A message is kept for this long, for readers whose database was away.
const KEPT: SignedDuration = SignedDuration::from_secs(60);
/// Old messages are removed at each id that this divides, and by each reader now and then.
const SWEEP_EVERY: u64 = 256;
const SWEEP_AFTER: Duration = Duration::from_secs(30);
/// The pause of a reader whose database is away.
const PAUSE: Duration = Duration::from_millis(250);

/// The subscribers of a store, and the reader that reads for them.
#[derive(Debug)]
pub(crate) struct Messages {
    rows: Arc<dyn Dialect>,
    clock: Arc<dyn Clock>,
    readers: Mutex<Readers>,
    /// Signalled after each message that this store publishes. The reader ends with it.
    published: watch::Sender<()>,
    subscribers: broadcast::Sender<Arc<MessageRow>>,
}

#[derive(Debug, Default)]
struct Readers {
    /// The number of the reader that reads.
    current: Option<u64>,
    /// How many there were.
    count: u64,
}

impl Messages {
    pub(crate) fn new(rows: Arc<dyn Dialect>, clock: Arc<dyn Clock>) -> Self {
        Self {
            rows,
            clock,
            readers: Mutex::default(),
            published: watch::Sender::new(()),
            subscribers: broadcast::Sender::new(CAPACITY),
        }
    }

    /// Writes a message, and now and then removes old ones.
    pub(crate) async fn publish(&self, topic: &str, message: &[u8]) -> Result<()> {
        let now = self.clock.now();
        let id = self.rows.add_message(topic, message, now).await?;
        self.published.send_replace(());
        if id.is_multiple_of(SWEEP_EVERY) {
            self.rows.sweep_messages(before(now)).await?;
        }
        Ok(())
    }

    /// Returns the messages of `topic` from now on.
    pub(crate) async fn subscribe(self: &Arc<Self>, topic: &str) -> Result<BoxStream<'static, Bytes>> {
        let messages = self.subscribers.subscribe();
        // Of messages that the reader has not read yet, those up to here were published before.
        let begins = self.rows.newest_message().await?;
        self.start(begins);
        let subscription = Subscription {
            messages,
            topic: topic.as_bytes().to_vec(),
            begins,
        };
        let heard = stream::unfold(subscription, async |mut subscription| {
            subscription.next().await.map(|message| (message, subscription))
        });
        Ok(heard.boxed())
    }

    /// Starts a reader of the messages after `seen`, unless one runs.
    fn start(self: &Arc<Self>, seen: u64) {
        let mut readers = self.readers();
        if readers.current.is_some() {
            return;
        }
        readers.count += 1;
        readers.current = Some(readers.count);
        let waiting = Waiting::new(self.published.subscribe(), self.rows.news(News::Messages));
        let reader = Reader {
            messages: Arc::downgrade(self),
            number: readers.count,
            seen,
            swept: Instant::now(),
        };
        tokio::spawn(reader.run(waiting));
    }

    fn readers(&self) -> MutexGuard<'_, Readers> {
        self.readers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Messages of this time and older go.
fn before(now: Timestamp) -> Timestamp {
    now.saturating_sub(KEPT).unwrap_or(Timestamp::MIN)
}

/// One subscriber.
struct Subscription {
    messages: broadcast::Receiver<Arc<MessageRow>>,
    topic: Vec<u8>,
    /// The id of the last message before the subscription.
    begins: u64,
}

impl Subscription {
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            match self.messages.recv().await {
                Ok(row) if row.id > self.begins && row.topic == self.topic => return Some(row.body.clone()),
                Ok(_) => {}
                Err(RecvError::Lagged(lost)) => tracing::debug!(lost, "a slow subscriber of the bus lost messages"),
                Err(RecvError::Closed) => return None,
            }
        }
    }
}

/// Reads messages for all subscribers of a store.
struct Reader {
    /// Weak, so that subscriptions end with the store.
    messages: Weak<Messages>,
    number: u64,
    seen: u64,
    swept: Instant,
}

impl Drop for Reader {
    /// Lets the next subscriber start another one, also if this one ended with its runtime.
    fn drop(&mut self) {
        if let Some(messages) = self.messages.upgrade() {
            let mut readers = messages.readers();
            if readers.current == Some(self.number) {
                readers.current = None;
            }
        }
    }
}

impl Reader {
    async fn run(mut self, mut waiting: Waiting) {
        loop {
            waiting.mark_unchanged();
            let Some(messages) = self.messages.upgrade() else {
                return;
            };
            let read = self.read_on(&messages).await;
            drop(messages);
            match read {
                Ok(true) => continue,
                Ok(false) => {}
                // What is published meanwhile waits in the table.
                Err(error) => {
                    tracing::debug!(%error, "the bus cannot be read; trying again");
                    tokio::time::sleep(PAUSE).await;
                }
            }
            if wait(&mut waiting).await.is_none() || self.is_alone() {
                return;
            }
        }
    }

    /// Passes on what was published; `true` if there was anything.
    async fn read_on(&mut self, messages: &Messages) -> Result<bool> {
        if self.swept.elapsed() > SWEEP_AFTER {
            self.swept = Instant::now();
            messages.rows.sweep_messages(before(messages.clock.now())).await?;
        }
        let rows = messages.rows.messages(self.seen).await?;
        let any = !rows.is_empty();
        for row in rows {
            self.seen = row.id;
            // An error means that there are no subscribers, which is none.
            let _ = messages.subscribers.send(Arc::new(row));
        }
        Ok(any)
    }

    /// Returns `true` if nobody subscribes; then somebody who does starts another reader.
    fn is_alone(&self) -> bool {
        let Some(messages) = self.messages.upgrade() else {
            return true;
        };
        let mut readers = messages.readers();
        if messages.subscribers.receiver_count() == 0 {
            readers.current = None;
        }
        readers.current.is_none()
    }
}
