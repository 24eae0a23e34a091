//! The bus, over a table of messages.

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use portolan_core::{Bus, Error, Result};

use crate::SqlStore;

/// The most bytes of a topic.
const MAX_TOPIC: usize = 255;
/// The most bytes of a message.
const MAX_MESSAGE: usize = 64 << 10;

#[async_trait]
impl Bus for SqlStore {
    async fn publish(&self, topic: &str, message: Bytes) -> Result<()> {
        check("topic", topic.len(), MAX_TOPIC)?;
        check("message", message.len(), MAX_MESSAGE)?;
        self.inner.messages.publish(topic, &message).await
    }

    async fn subscribe(&self, topic: &str) -> Result<BoxStream<'static, Bytes>> {
        self.inner.messages.subscribe(topic).await
    }
}

fn check(field: &str, size: usize, limit: usize) -> Result<()> {
    if size <= limit {
        return Ok(());
    }
    Err(Error::invalid(field, format!("has {size} bytes; at most {limit} fit")))
}
