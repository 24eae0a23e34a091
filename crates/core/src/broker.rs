//! As whom we call: what an upstream is sent for a caller.

use std::{fmt::Debug, sync::Arc};

use async_trait::async_trait;
use http::HeaderName;
use url::Url;

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
    async fn credential(
        &self,
        caller: &Caller,
        server: &ServerSpec,
        install: &Install,
    ) -> Result<Arc<UpstreamCredential>>;

    /// Forgets what is cached for an install, because its answers or secrets have changed, or the upstream refused them.
    fn forget(&self, install: &Install);
}

/// What goes with a call upstream. Equal ones have equal headers and versions.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct UpstreamCredential {
    /// Headers to set, whole.
    pub headers: Vec<(HeaderName, Secret)>,
    /// Another one after each change of the secrets in it: calls with different versions share no upstream session.
    pub version: Option<Version>,
    /// The credential scope: credentials of one scope see the same lists of the server. `None` means that equal credentials
    /// do; the empty scope is that of every caller of the install.
    pub scope: Option<Arc<str>>,
    /// What is asked for another one when the server refuses this one. `None` if there is no other.
    pub renewal: Option<Arc<dyn CredentialRefresh>>,
}

/// Gets another credential in the place of one that a server has refused.
///
/// # Contract
///
/// - It is asked while a call waits, so it takes no longer than a call may wait, and bounds how often it tries.
/// - What it gives belongs to the same caller and install as what was refused.
/// - Later calls get what it gave from [`CredentialBroker::credential`].
#[async_trait]
pub trait CredentialRefresh: Debug + Send + Sync {
    /// Another credential, with which the refused request is sent once more; `None` if there is none.
    async fn renew(&self, refusal: &CredentialRefusal) -> Result<Option<Arc<UpstreamCredential>>>;
}

/// How a server refused a credential. It has not looked at the request then (RFC 9110 15.5.2, 15.5.4).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CredentialRefusal {
    /// Where it was refused: the server's MCP endpoint.
    pub url: Url,
    /// 401, or 403 where the credential is good and does not reach far enough.
    pub status: u16,
    /// The values of `WWW-Authenticate`, as they came (RFC 6750, RFC 9728): at most 8, of at most 4 KiB each.
    pub challenges: Vec<Box<str>>,
}

impl CredentialRefusal {
    /// A refusal by the server at `url`.
    pub fn new(url: Url, status: u16, challenges: Vec<Box<str>>) -> Self {
        Self {
            url,
            status,
            challenges,
        }
    }
}

impl PartialEq for UpstreamCredential {
    fn eq(&self, other: &Self) -> bool {
        (&self.headers, self.version) == (&other.headers, other.version)
    }
}

impl Eq for UpstreamCredential {}

impl UpstreamCredential {
    /// Nothing.
    pub fn none() -> Self {
        Self::default()
    }
}
