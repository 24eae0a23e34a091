//! What an egress client may reach, and its bounds.

use std::{collections::BTreeSet, time::Duration};

/// What an [`EgressClient`](crate::EgressClient) may reach, and its bounds.
///
/// Default: public addresses by `https`, 10 seconds, 1 MiB.
///
/// ```
/// use portolan_identity::EgressConfig;
///
/// let config = EgressConfig::default().allow_host("keycloak.internal");
/// assert!(config.is_allowed("Keycloak.Internal"));
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct EgressConfig {
    /// The hosts that may have any address and may be reached by `http`: names or addresses in lower case, as they stand
    /// in URLs, without port. Default: none.
    pub allowed_hosts: BTreeSet<String>,
    /// How long a request may take, with its answer. Default: 10 seconds.
    pub timeout: Duration,
    /// The most bytes of an answer's body. Default: 1 MiB.
    pub max_body: usize,
}

impl Default for EgressConfig {
    fn default() -> Self {
        Self {
            allowed_hosts: BTreeSet::new(),
            timeout: Duration::from_secs(10),
            max_body: 1 << 20,
        }
    }
}

impl EgressConfig {
    /// Allows a host to have any address, also of a private network, and to be reached by `http`.
    #[must_use]
    pub fn allow_host(mut self, host: impl AsRef<str>) -> Self {
        self.allowed_hosts.insert(host.as_ref().to_ascii_lowercase());
        self
    }

    /// Sets how long a request may take.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets the most bytes of an answer's body.
    #[must_use]
    pub fn with_max_body(mut self, bytes: usize) -> Self {
        self.max_body = bytes;
        self
    }

    /// Returns `true` if `host` was [allowed](Self::allow_host).
    pub fn is_allowed(&self, host: &str) -> bool {
        self.allowed_hosts.contains(&host.to_ascii_lowercase())
    }
}
