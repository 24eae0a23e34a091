//! The configuration of keys in a Secret.

use std::time::Duration;

use portolan_core::{Error, Result};

use crate::config_check::check_label;

/// The configuration of [`KubeKeys`](super::KubeKeys).
///
/// ```
/// use std::time::Duration;
/// use portolan_k8s::KubeKeysConfig;
///
/// let config = KubeKeysConfig::in_namespace("mcp-credentials").with_create(false);
/// assert_eq!(config.secret, "portolan-keys");
/// assert_eq!(config.reread_interval, Duration::from_secs(60));
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct KubeKeysConfig {
    /// The namespace of the Secret. It must exist. Use one without pods: who may create a pod in a namespace can read all of
    /// its Secrets.
    pub namespace: String,
    /// The name of the Secret, a DNS label. It is part of the ids of the keys, so what was wrapped needs it again. Default:
    /// `portolan-keys`.
    pub secret: String,
    /// Whether a missing Secret is created with a new key when the keys are opened. Turn it off once there is data: then a
    /// Secret that somebody removed is an error, and not a new key. Default: `true`.
    pub create: bool,
    /// How old the known keys may be before they are read again. A key that another program added wraps here after this time at
    /// the latest; it unwraps at once. Default: 60 s.
    pub reread_interval: Duration,
    /// The deadline of a call, with all retries. Default: 10 s.
    pub deadline: Duration,
}

impl KubeKeysConfig {
    /// Creates the configuration of keys in `namespace`.
    ///
    /// ```
    /// assert!(portolan_k8s::KubeKeysConfig::in_namespace("mcp-credentials").create);
    /// ```
    pub fn in_namespace(namespace: impl Into<String>) -> Self {
        Self {
            namespace: namespace.into(),
            secret: "portolan-keys".into(),
            create: true,
            reread_interval: Duration::from_secs(60),
            deadline: Duration::from_secs(10),
        }
    }

    /// Sets [`secret`](Self::secret).
    #[must_use]
    pub fn with_secret(mut self, secret: impl Into<String>) -> Self {
        self.secret = secret.into();
        self
    }

    /// Sets [`create`](Self::create).
    #[must_use]
    pub fn with_create(mut self, create: bool) -> Self {
        self.create = create;
        self
    }

    /// Sets [`reread_interval`](Self::reread_interval).
    #[must_use]
    pub fn with_reread_interval(mut self, interval: Duration) -> Self {
        self.reread_interval = interval;
        self
    }

    /// Sets [`deadline`](Self::deadline).
    #[must_use]
    pub fn with_deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Checks the names, which the cluster would refuse.
    ///
    /// ```
    /// assert!(portolan_k8s::KubeKeysConfig::in_namespace("").check().is_err());
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] with the name of the first invalid field.
    pub fn check(&self) -> Result<()> {
        check_label("namespace", &self.namespace)?;
        check_label("secret", &self.secret)?;
        if self.deadline.is_zero() {
            return Err(Error::invalid("deadline", "is zero; use some seconds, such as 10"));
        }
        Ok(())
    }
}
