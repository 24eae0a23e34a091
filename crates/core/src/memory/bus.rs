//! The bus in memory, for replicas that live in one process.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt};
use tokio::sync::broadcast::{self, error::RecvError};

use crate::{Bus, Result};

/// How many messages a slow reader may be behind before it loses the oldest.
const CAPACITY: usize = 1024;

/// A [`Bus`] in memory: one bounded channel, from which each reader takes its topic.
#[derive(Clone, Debug)]
pub struct MemoryBus(broadcast::Sender<(Arc<str>, Bytes)>);

impl MemoryBus {
    /// A bus without readers.
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
        // An error says that nobody listens, which is none.
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
