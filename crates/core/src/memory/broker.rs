//! A broker for servers that need no credential.

use std::sync::Arc;

use async_trait::async_trait;

use crate::{Caller, CredentialBroker, Install, Result, ServerSpec, UpstreamCredential};

/// A [`CredentialBroker`] that sends nothing to anybody.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoCredentials;

#[async_trait]
impl CredentialBroker for NoCredentials {
    async fn credential(&self, _: &Caller, _: &ServerSpec, _: &Install) -> Result<Arc<UpstreamCredential>> {
        Ok(Arc::new(UpstreamCredential::none()))
    }

    fn forget(&self, _: &Install) {}
}
