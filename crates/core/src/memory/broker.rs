//! A broker for servers that need no credential.

use std::sync::Arc;

use async_trait::async_trait;

use crate::{Caller, CredentialBroker, Install, Outbound, Result, ServerSpec};

/// A [`CredentialBroker`] that sends nothing to anybody.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoCredentials;

#[async_trait]
impl CredentialBroker for NoCredentials {
    async fn credential(&self, _: &Caller, _: &ServerSpec, _: &Install) -> Result<Arc<Outbound>> {
        Ok(Arc::new(Outbound::none()))
    }

    fn forget(&self, _: &Install) {}
}
