//! A gateway that remembers what it was given to serve.

use std::{collections::BTreeMap, sync::Mutex};

use async_trait::async_trait;

use super::lock;
use crate::{Gateway, GatewayName, Publication, Result};

/// A [`Gateway`] that serves nobody and remembers what was published, for tests.
#[derive(Debug, Default)]
pub struct MemoryGateway(Mutex<BTreeMap<GatewayName, Publication>>);

impl MemoryGateway {
    /// A gateway to which nothing was published.
    pub fn new() -> Self {
        Self::default()
    }

    /// What is published under `name`.
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
