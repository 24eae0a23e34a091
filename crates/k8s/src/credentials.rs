//! A credential store on Kubernetes Secrets.

mod config;
mod lease;
mod list;
mod object;
mod write;

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use portolan_core::{
    Clock, CredentialKey, CredentialReader, CredentialStore, Error, Lease, Precondition, Result, Secret, SystemClock,
    Version, Versioned,
};
use tokio::sync::Semaphore;

pub use config::KubeCredentialsConfig;

use self::{
    lease::Leases,
    object::Names,
    write::{Found, RULES_FILE, failed},
};
use crate::{
    api_client::{ApiClient, MAX_CONCURRENT_CALLS},
    connect::{Connect, KubeClients},
};

/// A [`CredentialStore`] on Kubernetes Secrets, one for each key.
///
/// - **Versions.** A write compares the resource version of the Secret, so that one of two replicas wins. A [`Version`] is made
///   of a random number of each write and of the secret, so it never comes again: not after a removal, and not after the
///   cluster was restored from a backup. An edit by hand (`kubectl edit`) gives another version too.
/// - **Unanswered writes.** If the API server does not answer, the store reads whether the write was applied, and sends it again
///   if not. It never tells a write as a conflict that was applied, nor one as a success that was not. Where others changed the
///   same credential meanwhile and nothing tells, the error is [`Error::Unavailable`].
/// - **Reads** are of the API server's latest state; there is no cache. A read is one call.
/// - **Lists** read the names, labels and annotations of Secrets in pages of 500, not their contents. Labels narrow the list to
///   the first two parts of the prefix, such as one install.
/// - **Leases** are Lease objects. Hosts' clocks may differ by [`clock_skew`](KubeCredentialsConfig::clock_skew); a holder that
///   died blocks others for its `ttl` plus that at most. A released lease is deleted. A fence is a resource version, which grows
///   with each write of the cluster; it does not survive a restore from a backup, after which running holders must end.
/// - **Bounds.** A secret has at most 1,047,552 bytes (a Kubernetes Secret holds 1 MiB); 8 calls run at once.
/// - **Objects of others**, without the labels of this store, are never read, changed or removed. If one has the name of a key,
///   there is no secret under that key, and `put` says so.
///
/// The cluster stores Secrets unencrypted unless its API server is
/// [configured otherwise](https://kubernetes.io/docs/tasks/administer-cluster/encrypt-data/).
///
/// Requires the Role of `deploy/credentials.yaml`: `get`, `list`, `create`, `update` and `delete` on `secrets`, and `get`,
/// `create`, `update` and `delete` on `leases` of `coordination.k8s.io`, in one namespace. An error names a missing one.
///
/// ```no_run
/// # async fn example() -> portolan_core::Result<()> {
/// use portolan_core::{CredentialKey, CredentialReader, CredentialStore, Precondition, Secret};
/// use portolan_k8s::{Connect, KubeCredentials, KubeCredentialsConfig};
///
/// let config = KubeCredentialsConfig::in_namespace("mcp-credentials");
/// let store = KubeCredentials::connect(Connect::Infer, config).await?;
///
/// let key = CredentialKey::parse("github/token")?;
/// store.put(&key, Secret::new("hunter2"), Precondition::Absent).await?;
/// let found = store.read(&key).await?.expect("a secret");
/// assert_eq!(found.value.reveal(), "hunter2");
/// # Ok(())
/// # }
/// ```
pub struct KubeCredentials {
    client: ApiClient,
    names: Names,
    leases: Leases,
}

impl KubeCredentials {
    /// Finds a cluster and creates a store in it, without calling it.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] if no cluster is configured, or its configuration or credentials are not usable;
    /// [`Error::Invalid`] of [`KubeCredentialsConfig::check`].
    pub async fn connect(connect: Connect, config: KubeCredentialsConfig) -> Result<Self> {
        Self::new(KubeClients::connect(connect).await?, config)
    }

    /// Creates a store in the cluster of `clients`, without calling it. Clients of environments are not used.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] of [`KubeCredentialsConfig::check`].
    pub fn new(clients: impl Into<KubeClients>, config: KubeCredentialsConfig) -> Result<Self> {
        Self::with_clock(clients, config, Arc::new(SystemClock))
    }

    /// Creates a store that writes the times of leases by `clock`.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] of [`KubeCredentialsConfig::check`].
    pub fn with_clock(
        clients: impl Into<KubeClients>,
        config: KubeCredentialsConfig,
        clock: Arc<dyn Clock>,
    ) -> Result<Self> {
        config.check()?;
        let home = clients.into().home;
        let permits = Arc::new(Semaphore::new(MAX_CONCURRENT_CALLS));
        let client = ApiClient::new(
            home.client,
            config.namespace,
            home.cluster_name,
            config.deadline,
            permits,
        );
        Ok(Self {
            client: client.with_rules_file(RULES_FILE),
            names: Names::new(config.store),
            leases: Leases::new(clock, config.clock_skew),
        })
    }
}

#[async_trait]
impl CredentialReader for KubeCredentials {
    async fn read(&self, key: &CredentialKey) -> Result<Option<Versioned<Secret>>> {
        let action = || format!("read the credential {:?}", key.as_str());
        let found = write::find(&self.client, &self.names, key).await;
        let Found::Ours(stored) = found.map_err(|error| failed(error, action()))? else {
            return Ok(None);
        };
        let version = stored.version();
        let value = stored.value().ok_or_else(|| {
            let why = format!(
                "the Secret {:?} in {:?} was changed by another program: its \"value\" is missing or not UTF-8; write the \
                 credential again, or remove it",
                self.names.object(key),
                self.client.namespace
            );
            Error::backend("Kubernetes", action(), why)
        })?;
        Ok(Some(Versioned { value, version }))
    }
}

#[async_trait]
impl CredentialStore for KubeCredentials {
    async fn put(&self, key: &CredentialKey, secret: Secret, when: Precondition) -> Result<Version> {
        write::put(&self.client, &self.names, key, &secret, when).await
    }

    async fn remove(&self, key: &CredentialKey) -> Result<()> {
        write::remove(&self.client, &self.names, key).await
    }

    async fn keys(&self, prefix: &str, after: Option<&CredentialKey>, limit: usize) -> Result<Vec<CredentialKey>> {
        let keys = list::keys(&self.client, &self.names, prefix, after, limit).await;
        keys.map_err(|error| failed(error, "list credentials".into()))
    }

    async fn lease(&self, key: &CredentialKey, ttl: Duration) -> Result<Option<Lease>> {
        self.leases.take(&self.client, &self.names, key, ttl).await
    }

    async fn release(&self, lease: Lease) -> Result<()> {
        self.leases.release(&self.client, &self.names, &lease).await
    }
}

impl fmt::Debug for KubeCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KubeCredentials")
            .field("client", &self.client)
            .field("names", &self.names)
            .field("leases", &self.leases)
            .finish()
    }
}
