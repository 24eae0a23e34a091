//! A discovery with preset results.

use std::sync::Mutex;

use async_trait::async_trait;

use super::lock;
use crate::{Discovery, Endpoint, Error, Failure, Result, ServerSnapshot, Tool, UpstreamCredential};

/// A [`Discovery`] that asks no server and returns a preset snapshot or failure.
///
/// ```
/// use portolan_core::{Failure, FailureKind, memory::MemoryDiscovery};
///
/// let discovery = MemoryDiscovery::new(Vec::new());
/// discovery.set(Err(Failure::new(FailureKind::Timeout, "it does not answer")));
/// ```
#[derive(Debug)]
pub struct MemoryDiscovery(Mutex<Result<ServerSnapshot, Failure>>);

impl MemoryDiscovery {
    /// Creates a discovery that finds these tools on every server.
    ///
    /// ```
    /// let discovery = portolan_core::memory::MemoryDiscovery::new(Vec::new());
    /// ```
    pub fn new(tools: Vec<Tool>) -> Self {
        Self(Mutex::new(Ok(ServerSnapshot::of_tools(tools))))
    }

    /// Sets the tools that every server has from now on, or the failure of each.
    pub fn set(&self, answer: Result<Vec<Tool>, Failure>) {
        *lock(&self.0) = answer.map(ServerSnapshot::of_tools);
    }

    /// Sets the snapshot that every server gives from now on.
    pub fn set_snapshot(&self, snapshot: ServerSnapshot) {
        *lock(&self.0) = Ok(snapshot);
    }
}

#[async_trait]
impl Discovery for MemoryDiscovery {
    async fn snapshot(&self, _: &Endpoint, _: &UpstreamCredential) -> Result<ServerSnapshot> {
        lock(&self.0)
            .clone()
            .map_err(|failure| Error::not_ready("server", "in memory", failure))
    }
}
