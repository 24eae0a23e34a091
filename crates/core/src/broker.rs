//! Outbound credentials: what a server is sent on behalf of a caller.

use std::{fmt::Debug, sync::Arc};

use async_trait::async_trait;
use http::{HeaderMap, HeaderName};
use url::Url;

use crate::{Caller, GatewayName, Install, Result, Secret, ServerSpec, Version};

/// Chooses the credential that a server is sent.
///
/// # Contract
///
/// - The answer depends on the [context](CredentialContext) and on what is stored, and on nothing else.
/// - It never holds a credential of a person other than the caller.
/// - A gateway asks on every call, so an answer that is cached needs no I/O.
/// - A missing credential is [`Error::NotReady`](crate::Error::NotReady) of kind
///   [`FailureKind::Credential`](crate::FailureKind::Credential), with a remedy or an
///   [action](crate::Failure::action).
/// - `forget` drops what is cached at once: the next answer is made of what is stored then.
///
/// ```
/// use portolan_core::{
///     Caller, CredentialBroker, CredentialContext, Install, InstallName, Owner, ServerSpec, Subject, SystemClock, Clock,
///     memory::NoCredentials,
/// };
///
/// # tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(async {
/// let server = ServerSpec::remote("docs", "https://docs.example.com/mcp")?;
/// let install = Install::new(InstallName::new(&SystemClock), server.name.clone(), Owner::Org, SystemClock.now());
/// let caller = Caller::new(Subject::Org, "token");
/// let context = CredentialContext::new(&caller, &server, &install).with_tool("search");
/// assert!(NoCredentials.credential(&context).await?.headers.is_empty());
/// # Ok::<(), portolan_core::Error>(())
/// # }).expect("a credential");
/// ```
#[async_trait]
pub trait CredentialBroker: Debug + Send + Sync {
    /// Returns the credential for one request to a server.
    ///
    /// # Errors
    ///
    /// - [`Error::NotReady`](crate::Error::NotReady) if a credential is missing.
    /// - [`Error::Denied`](crate::Error::Denied) if the install may not serve the caller.
    /// - [`Error::Unavailable`](crate::Error::Unavailable) and [`Error::Backend`](crate::Error::Backend) of the store.
    async fn credential(&self, context: &CredentialContext<'_>) -> Result<Arc<UpstreamCredential>>;

    /// Drops what is cached for `install`: for one caller, or for all with `None`. Called after its answers or secrets
    /// have changed, and after the server refused a credential.
    fn forget(&self, install: &Install, caller: Option<&Caller>);
}

/// The request that a credential is for.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct CredentialContext<'a> {
    /// The caller.
    pub caller: &'a Caller,
    /// The gateway that the call came through; `None` outside of gateways, such as at install.
    pub gateway: Option<&'a GatewayName>,
    /// The server that is called.
    pub server: &'a ServerSpec,
    /// The install that serves the call.
    pub install: &'a Install,
    /// The tool, as its server names it; `None` for other requests, such as lists.
    pub tool: Option<&'a str>,
    /// The headers of the caller's request, for [`HeaderPassthrough`](crate::HeaderPassthrough); `None` outside of
    /// requests.
    pub headers: Option<&'a HeaderMap>,
}

impl<'a> CredentialContext<'a> {
    /// Creates the context of a request of `caller` to `install` of `server`.
    ///
    /// For an example, see [`CredentialBroker`].
    pub fn new(caller: &'a Caller, server: &'a ServerSpec, install: &'a Install) -> Self {
        Self {
            caller,
            gateway: None,
            server,
            install,
            tool: None,
            headers: None,
        }
    }

    /// Sets the gateway.
    #[must_use]
    pub fn with_gateway(mut self, gateway: &'a GatewayName) -> Self {
        self.gateway = Some(gateway);
        self
    }

    /// Sets the tool.
    #[must_use]
    pub fn with_tool(mut self, tool: &'a str) -> Self {
        self.tool = Some(tool);
        self
    }

    /// Sets the headers of the caller's request.
    #[must_use]
    pub fn with_headers(mut self, headers: &'a HeaderMap) -> Self {
        self.headers = Some(headers);
        self
    }
}

/// A credential for requests to a server.
///
/// Two are equal if their headers and versions are: calls with equal credentials may share an upstream session.
///
/// ```
/// use portolan_core::{Secret, UpstreamCredential};
///
/// let credential = UpstreamCredential::none()
///     .with_header(http::header::AUTHORIZATION, Secret::new("Bearer hunter2"))
///     .with_scope("team:web");
/// assert!(!format!("{credential:?}").contains("hunter2"));
/// ```
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct UpstreamCredential {
    /// The headers to set, with their whole values.
    pub headers: Vec<(HeaderName, Secret)>,
    /// The version of the secrets in it: changes with each change of them. Calls with different versions share no
    /// upstream session.
    pub version: Option<Version>,
    /// The credential scope: credentials of one install with the same scope see the same catalogue of the server (tools,
    /// prompts, resources), so lists are cached per install and scope. `None` if only equal credentials do.
    pub scope: Option<Arc<str>>,
    /// The source of a replacement if the server refuses this credential; `None` if there is none.
    pub renewal: Option<Arc<dyn CredentialRefresh>>,
}

/// Replaces a credential that a server has refused.
///
/// # Contract
///
/// - The call waits meanwhile, so `renew` takes no longer than a call may take, and bounds how often it tries.
/// - The replacement belongs to the caller and install of the refused credential.
/// - Later calls get the replacement from [`CredentialBroker::credential`].
///
/// ```
/// use std::sync::Arc;
/// use portolan_core::{CredentialRefresh, CredentialRefusal, Result, UpstreamCredential};
///
/// /// Has no other credential.
/// #[derive(Debug)]
/// struct NoRefresh;
///
/// #[async_trait::async_trait]
/// impl CredentialRefresh for NoRefresh {
///     async fn renew(&self, _: &CredentialRefusal) -> Result<Option<Arc<UpstreamCredential>>> {
///         Ok(None)
///     }
/// }
/// # tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(async {
/// let refusal = CredentialRefusal::new("https://docs.example.com/mcp".parse().expect("a URL"), 401, Vec::new());
/// assert!(NoRefresh.renew(&refusal).await.expect("an answer").is_none());
/// # });
/// ```
#[async_trait]
pub trait CredentialRefresh: Debug + Send + Sync {
    /// Returns the credential with which the refused request is sent once more; `None` if there is none.
    ///
    /// # Errors
    ///
    /// [`Error::NotReady`](crate::Error::NotReady) of kind
    /// [`FailureKind::Credential`](crate::FailureKind::Credential) if the caller has to act; any other error if the
    /// refresh failed. The call fails with it.
    async fn renew(&self, refusal: &CredentialRefusal) -> Result<Option<Arc<UpstreamCredential>>>;
}

/// A server's refusal of a credential. The server has not processed the request (RFC 9110 15.5.2, 15.5.4).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CredentialRefusal {
    /// The server's MCP endpoint.
    pub url: Url,
    /// The HTTP status: 401, or 403 where the credential is valid and lacks a permission.
    pub status: u16,
    /// The values of `WWW-Authenticate`, as they came (RFC 6750, RFC 9728): at most 8, of at most 4 KiB each.
    pub challenges: Vec<Box<str>>,
}

impl CredentialRefusal {
    /// Creates a refusal by the server at `url`. For an example, see [`CredentialRefresh`].
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
    /// Creates a credential without headers.
    ///
    /// ```
    /// assert!(portolan_core::UpstreamCredential::none().headers.is_empty());
    /// ```
    pub fn none() -> Self {
        Self::default()
    }

    /// Adds a header.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: Secret) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Sets the version.
    #[must_use]
    pub fn with_version(mut self, version: Version) -> Self {
        self.version = Some(version);
        self
    }

    /// Sets the credential scope.
    #[must_use]
    pub fn with_scope(mut self, scope: impl Into<Arc<str>>) -> Self {
        self.scope = Some(scope.into());
        self
    }

    /// Sets the source of a replacement.
    #[must_use]
    pub fn with_renewal(mut self, renewal: Arc<dyn CredentialRefresh>) -> Self {
        self.renewal = Some(renewal);
        self
    }

    /// Returns `true` if both credentials see the same catalogue of one install's server: by their scopes, or else by
    /// equal headers.
    pub fn shares_catalogue_with(&self, other: &Self) -> bool {
        match (&self.scope, &other.scope) {
            (None, None) => self.headers == other.headers,
            (mine, theirs) => mine == theirs,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scope_decides_shared_catalogue() {
        let of = |token: &str| UpstreamCredential::none().with_header(http::header::AUTHORIZATION, Secret::new(token));
        assert!(of("a").shares_catalogue_with(&of("a")) && !of("a").shares_catalogue_with(&of("b")));
        assert!(of("a").with_scope("s").shares_catalogue_with(&of("b").with_scope("s")));
        assert!(!of("a").with_scope("s").shares_catalogue_with(&of("a").with_scope("t")));
        assert!(!of("a").with_scope("s").shares_catalogue_with(&of("a")));
    }
}
