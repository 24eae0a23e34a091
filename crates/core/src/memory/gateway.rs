//! A gateway in memory.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    sync::Mutex,
};

use async_trait::async_trait;

use super::lock;
use crate::{Error, Gateway, GatewayName, Publication, PublicationChange, Result};

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

    async fn apply(&self, changes: Vec<PublicationChange>) -> Result<()> {
        let mut published = lock(&self.0);
        // A copy, so that a gateway of which one change fails stays as it is.
        let mut changed = BTreeMap::new();
        for change in changes {
            let name = change.gateway().clone();
            let publication = match changed.entry(name.clone()) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(empty) => {
                    let publication = published.get(&name).ok_or_else(|| Error::not_found("gateway", &name))?;
                    empty.insert(publication.clone())
                }
            };
            change.apply_to(publication)?;
        }
        published.extend(changed);
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
