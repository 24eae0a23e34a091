//! As whom we call: what an upstream is sent for a caller.

use std::{fmt::Debug, sync::Arc};

use async_trait::async_trait;
use http::HeaderName;

use crate::{Caller, Install, Result, Secret, ServerSpec, Version};

/// Chooses what is sent upstream as a credential.
///
/// # Contract
///
/// - The answer depends on the caller, the install and what is stored, and on nothing else.
/// - It never holds a credential of a person other than the caller.
/// - A warm answer needs no I/O: it is asked on every call.
/// - What is missing is [`Error::NotReady`](crate::Error::NotReady), cause
///   [`Credential`](crate::Cause::Credential), with a remedy.
#[async_trait]
pub trait CredentialBroker: Debug + Send + Sync {
    /// What to send when `caller` calls `install` of `server`.
    async fn credential(&self, caller: &Caller, server: &ServerSpec, install: &Install) -> Result<Arc<Outbound>>;

    /// Forgets what is cached for an install, because its answers or secrets have changed, or the upstream refused them.
    fn forget(&self, install: &Install);
}

/// What goes with a call upstream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Outbound {
    /// Headers to set, whole.
    pub headers: Vec<(HeaderName, Secret)>,
    /// Another one after each change of the secrets in it: calls with different versions share no upstream session.
    pub version: Option<Version>,
}

impl Outbound {
    /// Nothing.
    pub fn none() -> Self {
        Self::default()
    }
}
