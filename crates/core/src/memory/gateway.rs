//! A gateway in memory.

use std::{collections::BTreeMap, sync::Mutex};

use async_trait::async_trait;

use super::lock;
use crate::{Gateway, GatewayName, Publication, Result};

/// A [`Gateway`] for tests that serves no clients and holds the publications.
#[derive(Debug, Default)]
pub struct MemoryGateway(Mutex<BTreeMap<GatewayName, Publication>>);

impl MemoryGateway {
    /// Creates a gateway without publications.
    ///
    /// ```
    /// let gateway = portolan_core::memory::MemoryGateway::new();
    /// ```
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns the publication of the gateway `name`.
    pub fn publication(&self, name: &GatewayName) -> Option<Publication> {
        lock(&self.0).get(name).cloned()
    }
}

#[async_trait]
impl Gateway for MemoryGateway {
    async fn publish(&self, publication: Publication) -> Result<()> {
        lock(&self.0).insert(publication.gateway.name.clone(), publication);
        Ok(())
    }

    async fn withdraw(&self, name: &GatewayName) -> Result<()> {
        lock(&self.0).remove(name);
        Ok(())
    }

    async fn published(&self) -> Result<Vec<GatewayName>> {
        Ok(lock(&self.0).keys().cloned().collect())
    }
}
