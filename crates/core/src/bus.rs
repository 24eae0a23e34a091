//! The bus between replicas of a gateway.

use std::fmt::Debug;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;

use crate::Result;

/// Carries small messages between replicas.
///
/// # Contract
///
/// - A message that was published after a subscription began reaches it at most once, and in the order of publishing
///   from one publisher. It may be lost when a replica dies or a reader is too slow; who cannot bear that asks again.
/// - `publish` does not wait for readers.
#[async_trait]
pub trait Bus: Debug + Send + Sync {
    /// Sends `message` to all who have subscribed to `topic`, on every replica, also this one.
    async fn publish(&self, topic: &str, message: Bytes) -> Result<()>;

    /// What is published to `topic` from now on.
    async fn subscribe(&self, topic: &str) -> Result<BoxStream<'static, Bytes>>;
}
