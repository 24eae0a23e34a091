//! The configuration of the Kubernetes runtime.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use k8s_openapi::api::core::v1::Toleration;
use portolan_core::{Error, Result, StdioCarrier};

/// Configuration of a [`KubeRuntime`](crate::KubeRuntime).
///
/// ```
/// use std::time::Duration;
/// use portolan_k8s::{Environment, KubeConfig, NetworkMode};
///
/// let locked = Environment::in_namespace("mcp-locked").with_network(NetworkMode::Off);
/// let config = KubeConfig::in_namespace("mcp-servers")
///     .with_environment("locked", locked)
///     .with_idle(Duration::from_secs(900));
/// assert_eq!(config.environment(Some("locked"))?.namespace, "mcp-locked");
/// assert_eq!(config.environment(None)?.namespace, "mcp-servers");
/// config.check()?;
/// # Ok::<(), portolan_core::Error>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct KubeConfig {
    /// The environment of servers that name none.
    pub default_environment: Environment,
    /// Further environments by name, for servers that name one. Default: none.
    pub environments: BTreeMap<String, Environment>,
    /// The field manager of server-side apply, and the value of the label `app.kubernetes.io/managed-by`. Two platforms in
    /// one namespace need two names, or each deletes the other's servers. Default: `portolan`.
    pub field_manager: String,
    /// The DNS domain of the cluster. Default: `cluster.local`.
    pub cluster_domain: String,
    /// The image that runs servers of type command. Default: the base image of this release.
    pub base_image: String,
    /// The source of the bridge. Default: the base image.
    pub bridge: BridgeSource,
    /// The carrier of stdio servers that choose none themselves. Default: the bridge.
    pub stdio: StdioCarrier,
    /// How servers are reached. Default: [`EndpointMode::Auto`].
    pub endpoint_mode: EndpointMode,
    /// The resource requests of each server, by resource. Default: `cpu` 50m, `memory` 128Mi, `ephemeral-storage` 256Mi.
    pub requests: BTreeMap<String, String>,
    /// The resource limits of each server, by resource. Default: `memory` 512Mi, `ephemeral-storage` 1Gi, and no limit of
    /// `cpu`.
    pub limits: BTreeMap<String, String>,
    /// The numeric user id that servers run as; `None` uses the user of the image, which must be a number other than 0.
    /// Default: 65532, because most images name root or a user by name, and neither starts under the restricted Pod
    /// Security Standard.
    pub run_as_user: Option<u32>,
    /// The nodes that servers run on. Default: those that the host's own pod may run on.
    pub scheduling: SchedulingDefault,
    /// The service accounts that servers may use. Default: none.
    pub service_accounts: BTreeSet<String>,
    /// The Secrets of the namespace that servers may refer to besides their own, in a Deployment YAML and as a source of
    /// environment variables. Default: none.
    pub allowed_secrets: BTreeSet<String>,
    /// The pods that may call the servers: those of the gateways. Default: pods with the label
    /// `app.kubernetes.io/name=portolan` in the host's own namespace.
    pub gateways: Vec<GatewayPeer>,
    /// The name servers outside of the cluster's pods that servers may use, as CIDRs. Default: `169.254.20.10/32`, the
    /// address of the node-local DNS cache.
    pub dns: Vec<String>,
    /// How long a server stays up without a call before it is scaled to zero; `None` disables that. Default: `None`.
    pub idle: Option<Duration>,
    /// The deadline of a call to the API server, with all retries. Default: 30 s.
    pub deadline: Duration,
}

/// A namespace that servers run in, with its rules.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Environment {
    /// The namespace, which must exist.
    pub namespace: String,
    /// The images that may run here; empty allows all. A pattern matches an image that equals it or continues after it with
    /// `/`, `:` or `@`: `ghcr.io/acme` matches `ghcr.io/acme/time:1` and not `ghcr.io/acme-evil/time`. A name without a
    /// registry belongs to `docker.io`. The base image and the bridge's image are always allowed. Default: empty.
    pub allowed_images: Vec<String>,
    /// The network access of servers. Default: the public internet.
    pub network: NetworkMode,
}

/// The network access of servers from their pods. Every mode but [`Off`](Self::Off) allows the cluster's name servers.
///
/// It is enforced by standard network policies; on a cluster whose network plugin ignores them, all traffic passes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NetworkMode {
    /// No network access, not even to name servers.
    Off,
    /// Only the listed destinations.
    Restricted {
        /// Whether all public addresses are allowed. Private ranges, the cluster, and the metadata services of clouds are
        /// not among them.
        internet: bool,
        /// Further CIDRs, such as that of a database. They may be private.
        extra_cidrs: Vec<String>,
    },
    /// Everything, including the cluster.
    Unrestricted,
}

/// The pods of a gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GatewayPeer {
    /// Their namespace; `None` is the host's own, or that of the server if the host runs outside of the cluster. Default:
    /// `None`.
    pub namespace: Option<String>,
    /// Their labels. Default: `app.kubernetes.io/name=portolan`.
    pub labels: BTreeMap<String, String>,
}

/// The source of the bridge, the program that serves a stdio server over HTTP inside its pod.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BridgeSource {
    /// The base image contains it at `/portolan-bridge`. Other images get it from there, by an init container.
    BaseImage,
    /// This image contains it at `/portolan-bridge`. An init container copies it into every pod.
    Image(String),
}

/// How this program reaches the servers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum EndpointMode {
    /// [`Cluster`](Self::Cluster) if this program runs in the cluster, else [`PortForward`](Self::PortForward).
    #[default]
    Auto,
    /// Over the cluster's network, by the DNS names of Services. With several replicas, a gateway keeps to one pod, because
    /// legacy sessions live there (`sessionAffinity: ClientIP`); pin a server to the modern era to balance its calls.
    Cluster,
    /// By port-forward through the API server.
    PortForward,
}

/// The default node rules.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub enum SchedulingDefault {
    /// The rules of the pod that this program runs in; none outside of a cluster.
    #[default]
    Inherited,
    /// These rules.
    Given(Scheduling),
}

/// The nodes that a server may run on.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Scheduling {
    /// The labels that a node must have. Default: none.
    pub node_selector: BTreeMap<String, String>,
    /// The taints that a node may have. Default: none.
    pub tolerations: Vec<Toleration>,
}

impl KubeConfig {
    /// Creates a configuration whose servers run in `namespace`, which must exist, with the defaults of all fields.
    pub fn in_namespace(namespace: impl Into<String>) -> Self {
        Self {
            default_environment: Environment::in_namespace(namespace),
            environments: BTreeMap::new(),
            field_manager: "portolan".into(),
            cluster_domain: "cluster.local".into(),
            base_image: concat!("ghcr.io/portolan-mcp/mcp-server-base:", env!("CARGO_PKG_VERSION")).into(),
            bridge: BridgeSource::BaseImage,
            stdio: StdioCarrier::default(),
            endpoint_mode: EndpointMode::default(),
            requests: quantities([("cpu", "50m"), ("memory", "128Mi"), ("ephemeral-storage", "256Mi")]),
            limits: quantities([("memory", "512Mi"), ("ephemeral-storage", "1Gi")]),
            run_as_user: Some(65532),
            scheduling: SchedulingDefault::default(),
            service_accounts: BTreeSet::new(),
            allowed_secrets: BTreeSet::new(),
            gateways: vec![GatewayPeer::default()],
            dns: vec!["169.254.20.10/32".into()],
            idle: None,
            deadline: Duration::from_secs(30),
        }
    }

    /// Replaces the default environment.
    #[must_use]
    pub fn with_default_environment(mut self, environment: Environment) -> Self {
        self.default_environment = environment;
        self
    }

    /// Adds an environment.
    #[must_use]
    pub fn with_environment(mut self, name: impl Into<String>, environment: Environment) -> Self {
        self.environments.insert(name.into(), environment);
        self
    }

    /// Sets [`field_manager`](Self::field_manager).
    #[must_use]
    pub fn with_field_manager(mut self, name: impl Into<String>) -> Self {
        self.field_manager = name.into();
        self
    }

    /// Sets [`cluster_domain`](Self::cluster_domain).
    #[must_use]
    pub fn with_cluster_domain(mut self, domain: impl Into<String>) -> Self {
        self.cluster_domain = domain.into();
        self
    }

    /// Sets [`base_image`](Self::base_image).
    #[must_use]
    pub fn with_base_image(mut self, image: impl Into<String>) -> Self {
        self.base_image = image.into();
        self
    }

    /// Sets [`bridge`](Self::bridge).
    #[must_use]
    pub fn with_bridge(mut self, bridge: BridgeSource) -> Self {
        self.bridge = bridge;
        self
    }

    /// Sets [`stdio`](Self::stdio).
    #[must_use]
    pub fn with_stdio(mut self, stdio: StdioCarrier) -> Self {
        self.stdio = stdio;
        self
    }

    /// Sets [`endpoint_mode`](Self::endpoint_mode).
    #[must_use]
    pub fn with_endpoint_mode(mut self, mode: EndpointMode) -> Self {
        self.endpoint_mode = mode;
        self
    }

    /// Sets the request of one resource in [`requests`](Self::requests); an empty quantity removes it.
    #[must_use]
    pub fn with_request(mut self, resource: impl Into<String>, quantity: impl Into<String>) -> Self {
        self.requests.insert(resource.into(), quantity.into());
        self
    }

    /// Sets the limit of one resource in [`limits`](Self::limits); an empty quantity removes it.
    #[must_use]
    pub fn with_limit(mut self, resource: impl Into<String>, quantity: impl Into<String>) -> Self {
        self.limits.insert(resource.into(), quantity.into());
        self
    }

    /// Sets [`run_as_user`](Self::run_as_user).
    #[must_use]
    pub fn with_run_as_user(mut self, user: impl Into<Option<u32>>) -> Self {
        self.run_as_user = user.into();
        self
    }

    /// Sets [`scheduling`](Self::scheduling) to fixed rules.
    #[must_use]
    pub fn with_scheduling(mut self, scheduling: Scheduling) -> Self {
        self.scheduling = SchedulingDefault::Given(scheduling);
        self
    }

    /// Adds to [`service_accounts`](Self::service_accounts).
    #[must_use]
    pub fn with_service_account(mut self, name: impl Into<String>) -> Self {
        self.service_accounts.insert(name.into());
        self
    }

    /// Adds to [`allowed_secrets`](Self::allowed_secrets).
    #[must_use]
    pub fn with_allowed_secret(mut self, name: impl Into<String>) -> Self {
        self.allowed_secrets.insert(name.into());
        self
    }

    /// Sets [`gateways`](Self::gateways); with none, no pod may call the servers.
    #[must_use]
    pub fn with_gateways(mut self, gateways: impl IntoIterator<Item = GatewayPeer>) -> Self {
        self.gateways = gateways.into_iter().collect();
        self
    }

    /// Sets [`dns`](Self::dns).
    #[must_use]
    pub fn with_dns<C: Into<String>>(mut self, cidrs: impl IntoIterator<Item = C>) -> Self {
        self.dns = cidrs.into_iter().map(Into::into).collect();
        self
    }

    /// Sets [`idle`](Self::idle).
    #[must_use]
    pub fn with_idle(mut self, idle: impl Into<Option<Duration>>) -> Self {
        self.idle = idle.into();
        self
    }

    /// Sets [`deadline`](Self::deadline).
    #[must_use]
    pub fn with_deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Returns the environment named `name`, or the default one for `None`.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] for `environment` if there is none of this name.
    pub fn environment(&self, name: Option<&str>) -> Result<&Environment> {
        let Some(name) = name else {
            return Ok(&self.default_environment);
        };
        self.environments.get(name).ok_or_else(|| {
            let known: Vec<_> = self.environments.keys().map(String::as_str).collect();
            Error::invalid(
                "environment",
                format!("{name:?} is not configured; use one of {known:?}, or add it to KubeConfig::environments"),
            )
        })
    }
}

impl Environment {
    /// Creates an environment in `namespace` that allows every image and the public internet.
    ///
    /// ```
    /// use portolan_k8s::Environment;
    ///
    /// let environment = Environment::in_namespace("mcp-servers").with_allowed_images(["ghcr.io/acme"]);
    /// assert_eq!(environment.allowed_images, ["ghcr.io/acme"]);
    /// ```
    pub fn in_namespace(namespace: impl Into<String>) -> Self {
        Self {
            namespace: namespace.into(),
            allowed_images: Vec::new(),
            network: NetworkMode::default(),
        }
    }

    /// Sets [`allowed_images`](Self::allowed_images).
    #[must_use]
    pub fn with_allowed_images<P: Into<String>>(mut self, patterns: impl IntoIterator<Item = P>) -> Self {
        self.allowed_images = patterns.into_iter().map(Into::into).collect();
        self
    }

    /// Sets [`network`](Self::network).
    #[must_use]
    pub fn with_network(mut self, network: NetworkMode) -> Self {
        self.network = network;
        self
    }
}

impl Default for NetworkMode {
    fn default() -> Self {
        Self::Restricted {
            internet: true,
            extra_cidrs: Vec::new(),
        }
    }
}

impl GatewayPeer {
    /// Creates a peer for pods that have all of `labels`, in the host's own namespace.
    ///
    /// ```
    /// use portolan_k8s::GatewayPeer;
    ///
    /// let peer = GatewayPeer::with_labels([("app", "gateway")]).with_namespace("edge");
    /// assert_eq!(peer.namespace.as_deref(), Some("edge"));
    /// ```
    pub fn with_labels<K: Into<String>, V: Into<String>>(labels: impl IntoIterator<Item = (K, V)>) -> Self {
        let labels = labels.into_iter().map(|(key, value)| (key.into(), value.into()));
        Self {
            namespace: None,
            labels: labels.collect(),
        }
    }

    /// Sets [`namespace`](Self::namespace).
    #[must_use]
    pub fn with_namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = Some(namespace.into());
        self
    }
}

impl Default for GatewayPeer {
    fn default() -> Self {
        Self::with_labels([(crate::name::NAME, "portolan")])
    }
}

impl Scheduling {
    /// Creates empty rules, which every node meets.
    ///
    /// ```
    /// use portolan_k8s::{KubeConfig, Scheduling};
    ///
    /// let rules = Scheduling::new().with_node_label("pool", "mcp");
    /// let config = KubeConfig::in_namespace("mcp-servers").with_scheduling(rules);
    /// ```
    pub const fn new() -> Self {
        Self {
            node_selector: BTreeMap::new(),
            tolerations: Vec::new(),
        }
    }

    /// Adds a required node label.
    #[must_use]
    pub fn with_node_label(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.node_selector.insert(key.into(), value.into());
        self
    }

    /// Adds a tolerated taint.
    #[must_use]
    pub fn with_toleration(mut self, toleration: Toleration) -> Self {
        self.tolerations.push(toleration);
        self
    }
}

fn quantities<const N: usize>(pairs: [(&str, &str); N]) -> BTreeMap<String, String> {
    pairs.map(|(name, quantity)| (name.into(), quantity.into())).into()
}
