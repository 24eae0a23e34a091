//! A bus in memory.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt};
use tokio::sync::broadcast::{self, error::RecvError};

use crate::{Bus, Result};

/// The most messages that a slow reader may be behind before it loses the oldest.
const CAPACITY: usize = 1024;

/// A [`Bus`] in memory, for replicas in one process. A reader that is more than 1,024 messages behind loses the oldest.
#[derive(Clone, Debug)]
pub struct MemoryBus(broadcast::Sender<(Arc<str>, Bytes)>);

impl MemoryBus {
    /// Creates a bus.
    ///
    /// ```
    /// let bus = portolan_core::memory::MemoryBus::new();
    /// ```
    pub fn new() -> Self {
        Self(broadcast::Sender::new(CAPACITY))
    }
}

impl Default for MemoryBus {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Bus for MemoryBus {
    async fn publish(&self, topic: &str, message: Bytes) -> Result<()> {
        // An error means that there are no subscribers, which is none.
        let _ = self.0.send((topic.into(), message));
        Ok(())
    }

    async fn subscribe(&self, topic: &str) -> Result<BoxStream<'static, Bytes>> {
        let (messages, topic) = (self.0.subscribe(), topic.to_owned());
        let heard = stream::unfold((messages, topic), |(mut messages, topic)| async move {
            loop {
                match messages.recv().await {
                    Ok((about, message)) if *about == *topic => return Some((message, (messages, topic))),
                    Ok(_) | Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return None,
                }
            }
        });
        Ok(heard.boxed())
    }
}
