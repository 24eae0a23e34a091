//! Connections to clusters.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};
use portolan_core::{BoxError, Error, Result};

/// The directory with the service account of a pod.
const SERVICE_ACCOUNT_DIR: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// How to find a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Connect {
    /// Like `kubectl`: by the kubeconfig of the environment or the home directory, else the cluster of this pod.
    #[default]
    Infer,
    /// The cluster of this pod, as its service account.
    InCluster,
    /// By a kubeconfig file.
    Kubeconfig {
        /// The path of the file.
        path: PathBuf,
        /// The context; `None` selects the current one.
        context: Option<String>,
    },
}

/// The clients of a runtime: one cluster, and others for environments in other clusters.
///
/// [`KubeClients::connect`] creates a client with suitable settings: without the retries of kube, which can wait for minutes,
/// and without a read timeout, which would end watches and logs. A client of the host ([`From<Client>`](Client)) keeps its own
/// settings; in a pod, it counts as a client of the pod's cluster.
///
/// ```no_run
/// # async fn f() -> portolan_core::Result<()> {
/// use portolan_k8s::{Connect, KubeClients};
///
/// let other = Connect::Kubeconfig { path: "/etc/eu.kubeconfig".into(), context: None };
/// let clients = KubeClients::connect(Connect::Infer)
///     .await?
///     .with_environment("eu", KubeClients::connect(other).await?);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct KubeClients {
    pub(crate) home: KubeClient,
    pub(crate) environments: BTreeMap<String, KubeClient>,
}

/// A client and its cluster.
#[derive(Clone)]
pub(crate) struct KubeClient {
    pub(crate) client: Client,
    /// The name of the cluster in errors.
    pub(crate) cluster_name: Arc<str>,
    /// Whether this program runs in that cluster.
    pub(crate) is_in_cluster: bool,
}

/// The pod that this program runs in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HostPod {
    pub(crate) namespace: String,
    pub(crate) pod: String,
}

impl KubeClients {
    /// Finds a cluster and creates a client for it, without calling it.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] if no cluster is configured, or its configuration or credentials are not usable.
    pub async fn connect(connect: Connect) -> Result<Self> {
        let (config, cluster_name, is_in_cluster) = match connect {
            Connect::Infer => infer().await?,
            Connect::InCluster => (in_cluster()?, "the cluster of this pod".to_owned(), true),
            Connect::Kubeconfig { path, context } => kubeconfig(&path, context).await?,
        };
        let client = client(config)?;
        let cluster_name = cluster_name.into();
        Ok(KubeClient {
            client,
            cluster_name,
            is_in_cluster,
        }
        .into())
    }

    /// Places the environment `name` in the cluster of `client`.
    #[must_use]
    pub fn with_environment(mut self, name: impl Into<String>, client: impl Into<Self>) -> Self {
        self.environments.insert(name.into(), client.into().home);
        self
    }

    pub(crate) fn of(&self, environment: Option<&str>) -> &KubeClient {
        environment
            .and_then(|name| self.environments.get(name))
            .unwrap_or(&self.home)
    }
}

impl From<KubeClient> for KubeClients {
    fn from(home: KubeClient) -> Self {
        Self {
            home,
            environments: BTreeMap::new(),
        }
    }
}

impl From<Client> for KubeClients {
    fn from(client: Client) -> Self {
        let is_in_cluster = HostPod::find().is_some();
        let cluster_name = "the given client".into();
        KubeClient {
            client,
            cluster_name,
            is_in_cluster,
        }
        .into()
    }
}

impl HostPod {
    /// Reads the identity of this pod; `None` outside of a pod.
    pub(crate) fn find() -> Option<Self> {
        let namespace = std::fs::read_to_string(Path::new(SERVICE_ACCOUNT_DIR).join("namespace")).ok()?;
        let pod = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
        Some(Self {
            namespace: namespace.trim().to_owned(),
            pod: pod.trim().to_owned(),
        })
    }
}

async fn infer() -> Result<(Config, String, bool)> {
    match Kubeconfig::read() {
        Ok(file) => with_options(file, KubeConfigOptions::default()).await,
        Err(_) if HostPod::find().is_some() => Ok((in_cluster()?, "the cluster of this pod".to_owned(), true)),
        Err(error) => Err(unreachable(
            error,
            "there is no kubeconfig, and this program does not run in a pod",
        )),
    }
}

fn in_cluster() -> Result<Config> {
    Config::incluster().map_err(|error| unreachable(error, "this program does not run in a pod with a service account"))
}

async fn kubeconfig(path: &Path, context: Option<String>) -> Result<(Config, String, bool)> {
    let file = Kubeconfig::read_from(path)
        .map_err(|error| unreachable(error, &format!("cannot read the kubeconfig {}", path.display())))?;
    let options = KubeConfigOptions {
        context,
        ..KubeConfigOptions::default()
    };
    with_options(file, options).await
}

async fn with_options(file: Kubeconfig, options: KubeConfigOptions) -> Result<(Config, String, bool)> {
    let context = options
        .context
        .clone()
        .or_else(|| file.current_context.clone())
        .unwrap_or_default();
    let cluster_name = format!("context {context:?}");
    let config = Config::from_custom_kubeconfig(file, &options)
        .await
        .map_err(|error| unreachable(error, &format!("{cluster_name} of the kubeconfig is not usable")))?;
    Ok((config, cluster_name, false))
}

/// Creates a client with our settings: `ApiClient` adds deadlines and retries.
fn client(mut config: Config) -> Result<Client> {
    config.default_retry = false;
    config.connect_timeout = Some(Duration::from_secs(5));
    config.write_timeout = Some(Duration::from_secs(30));
    config.read_timeout = None;
    Client::try_from(config).map_err(|error| unreachable(error, "its certificate or token is not usable"))
}

fn unreachable(error: impl Into<BoxError>, why: &str) -> Error {
    let error = error.into();
    Error::unavailable("Kubernetes", format!("cannot reach Kubernetes: {why}: {error}"))
}

impl fmt::Debug for KubeClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KubeClient")
            .field("title", &self.cluster_name)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for KubeClients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KubeClients")
            .field("home", &self.home)
            .field("environments", &self.environments)
            .finish()
    }
}
