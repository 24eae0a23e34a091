//! A message bus between replicas of a gateway.

use std::fmt::Debug;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;

use crate::Result;

/// Carries small messages between replicas.
///
/// # Contract
///
/// - A message that is published after a subscription began reaches it at most once, and messages of one publisher arrive
///   in the order of publishing. A message may be lost when a replica dies or a reader is too slow; readers that cannot
///   bear that ask again.
/// - `publish` does not wait for readers.
///
/// ```
/// use futures_util::StreamExt;
/// use portolan_core::{Bus, memory::MemoryBus};
///
/// # tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(async {
/// let bus = MemoryBus::new();
/// let mut messages = bus.subscribe("sessions").await?;
/// bus.publish("sessions", "ended".into()).await?;
/// assert_eq!(messages.next().await.as_deref(), Some(b"ended".as_slice()));
/// # Ok::<(), portolan_core::Error>(())
/// # }).expect("a message");
/// ```
#[async_trait]
pub trait Bus: Debug + Send + Sync {
    /// Sends `message` to all subscribers of `topic`, on every replica, also this one.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`](crate::Error::Unavailable) if the bus cannot be reached.
    async fn publish(&self, topic: &str, message: Bytes) -> Result<()>;

    /// Subscribes to `topic`: the stream yields messages that are published from now on.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`](crate::Error::Unavailable) if the bus cannot be reached.
    async fn subscribe(&self, topic: &str) -> Result<BoxStream<'static, Bytes>>;
}
