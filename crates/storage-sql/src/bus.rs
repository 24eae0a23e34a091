//! The bus: messages in a table for a minute, read once for all subscribers of a store.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt};
use jiff::{SignedDuration, Timestamp};
use portolan_core::{Bus, Error, Result};
use tokio::{
    sync::{
        broadcast::{self, error::RecvError},
        watch,
    },
    time::Instant,
};

use crate::{
    SqlStore,
    rows::{MessageRow, News},
    store::Inner,
    wait::{Waiting, wait},
};

/// The most bytes of a topic.
const MAX_TOPIC: usize = 255;
/// The most bytes of a message.
const MAX_MESSAGE: usize = 64 << 10;
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
    pub(crate) fn new() -> Self {
        Self {
            readers: Mutex::default(),
            published: watch::Sender::new(()),
            subscribers: broadcast::Sender::new(CAPACITY),
        }
    }

    fn readers(&self) -> MutexGuard<'_, Readers> {
        self.readers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Bus for SqlStore {
    async fn publish(&self, topic: &str, message: Bytes) -> Result<()> {
        check("topic", topic.len(), MAX_TOPIC)?;
        check("message", message.len(), MAX_MESSAGE)?;
        let inner = &self.inner;
        let now = inner.clock.now();
        let id = inner.rows.add_message(topic, &message, now).await?;
        inner.messages.published.send_replace(());
        if id.is_multiple_of(SWEEP_EVERY) {
            inner.rows.sweep_messages(before(now)).await?;
        }
        Ok(())
    }

    async fn subscribe(&self, topic: &str) -> Result<BoxStream<'static, Bytes>> {
        let inner = &self.inner;
        let messages = inner.messages.subscribers.subscribe();
        // Of messages that the reader has not read yet, those up to here were published before.
        let begins = inner.rows.newest_message().await?;
        start(inner, begins);
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
}

fn check(field: &str, size: usize, limit: usize) -> Result<()> {
    if size <= limit {
        return Ok(());
    }
    Err(Error::invalid(field, format!("has {size} bytes; at most {limit} fit")))
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

/// Starts a reader of the messages after `seen`, unless one runs.
fn start(inner: &Arc<Inner>, seen: u64) {
    let messages = &inner.messages;
    let mut readers = messages.readers();
    if readers.current.is_some() {
        return;
    }
    readers.count += 1;
    readers.current = Some(readers.count);
    let waiting = Waiting::new(messages.published.subscribe(), inner.rows.news(News::Messages));
    let reader = Reader {
        inner: Arc::downgrade(inner),
        messages: Arc::downgrade(messages),
        number: readers.count,
        seen,
        swept: Instant::now(),
    };
    tokio::spawn(reader.run(waiting));
}

/// Reads messages for all subscribers of a store.
struct Reader {
    inner: Weak<Inner>,
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

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader")
            .field("seen", &self.seen)
            .finish_non_exhaustive()
    }
}

impl Reader {
    async fn run(mut self, mut waiting: Waiting) {
        loop {
            waiting.mark_unchanged();
            let read = match self.inner.upgrade() {
                Some(inner) => self.read_on(&inner).await,
                None => return,
            };
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
    async fn read_on(&mut self, inner: &Inner) -> Result<bool> {
        if self.swept.elapsed() > SWEEP_AFTER {
            self.swept = Instant::now();
            inner.rows.sweep_messages(before(inner.clock.now())).await?;
        }
        let rows = inner.rows.messages(self.seen).await?;
        let any = !rows.is_empty();
        for row in rows {
            self.seen = row.id;
            // An error means that there are no subscribers, which is none.
            let _ = inner.messages.subscribers.send(Arc::new(row));
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
