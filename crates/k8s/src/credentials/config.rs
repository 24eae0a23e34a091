//! The configuration of a credential store.

use std::time::Duration;

use portolan_core::{Error, Result};

/// The configuration of [`KubeCredentials`](super::KubeCredentials).
///
/// ```
/// use std::time::Duration;
/// use portolan_k8s::KubeCredentialsConfig;
///
/// let config = KubeCredentialsConfig::in_namespace("mcp-credentials")
///     .with_store("staging")
///     .with_deadline(Duration::from_secs(10));
/// assert_eq!(config.clock_skew, Duration::from_secs(2));
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct KubeCredentialsConfig {
    /// The namespace of the Secrets and Leases. It must exist. Use one without pods: who may create a pod in a namespace can
    /// read all of its Secrets.
    pub namespace: String,
    /// The name of the store, which keeps several stores in one namespace apart; a DNS label, and the value of the label
    /// `app.kubernetes.io/managed-by`. All replicas of a host use the same one, and the field manager of a runtime in the same
    /// namespace is another one. Default: `portolan-credentials`.
    pub store: String,
    /// The deadline of a call, with all retries. Default: 30 s.
    pub deadline: Duration,
    /// The most by which the clocks of two replicas differ. The lease of a holder that died is taken over `ttl` plus this after
    /// it began, or `ttl` after this store saw it first, whichever is earlier. If clocks differ by more, a lease may be taken
    /// over before its `ttl` is over. Default: 2 s.
    pub clock_skew: Duration,
}

impl KubeCredentialsConfig {
    /// Creates the configuration of a store in `namespace`.
    ///
    /// ```
    /// let config = portolan_k8s::KubeCredentialsConfig::in_namespace("mcp-credentials");
    /// assert_eq!(config.store, "portolan-credentials");
    /// ```
    pub fn in_namespace(namespace: impl Into<String>) -> Self {
        Self {
            namespace: namespace.into(),
            store: "portolan-credentials".into(),
            deadline: Duration::from_secs(30),
            clock_skew: Duration::from_secs(2),
        }
    }

    /// Sets [`store`](Self::store).
    #[must_use]
    pub fn with_store(mut self, store: impl Into<String>) -> Self {
        self.store = store.into();
        self
    }

    /// Sets [`deadline`](Self::deadline).
    #[must_use]
    pub fn with_deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Sets [`clock_skew`](Self::clock_skew).
    #[must_use]
    pub fn with_clock_skew(mut self, clock_skew: Duration) -> Self {
        self.clock_skew = clock_skew;
        self
    }

    /// Checks the names, which the cluster would refuse for every secret.
    ///
    /// ```
    /// use portolan_k8s::KubeCredentialsConfig;
    ///
    /// assert!(KubeCredentialsConfig::in_namespace("mcp-credentials").check().is_ok());
    /// assert!(KubeCredentialsConfig::in_namespace("MCP").check().is_err());
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] with the name of the first invalid field.
    pub fn check(&self) -> Result<()> {
        crate::config_check::check_label("namespace", &self.namespace)?;
        crate::config_check::check_label("store", &self.store)?;
        if self.deadline.is_zero() {
            return Err(Error::invalid("deadline", "is zero; use some seconds, such as 30"));
        }
        Ok(())
    }
}
