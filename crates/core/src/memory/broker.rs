//! A broker for servers that need no credential.

use std::sync::Arc;

use async_trait::async_trait;

use crate::{Caller, CredentialBroker, CredentialContext, Install, Result, UpstreamCredential};

/// A [`CredentialBroker`] whose credentials have no headers. For an example, see there.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoCredentials;

#[async_trait]
impl CredentialBroker for NoCredentials {
    async fn credential(&self, _: &CredentialContext<'_>) -> Result<Arc<UpstreamCredential>> {
        Ok(Arc::new(UpstreamCredential::none()))
    }

    fn forget(&self, _: &Install, _: Option<&Caller>) {}
}
