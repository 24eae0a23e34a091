//! Every knob of the Kubernetes runtime, with its default.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use k8s_openapi::api::core::v1::Toleration;
use portolan_core::{Error, Result, ServerSpec, StdioCarrier};

use crate::render;

/// How servers are run in a cluster.
///
/// ```
/// use portolan_k8s::{Environment, KubeConfig, NetworkMode};
///
/// let mut config = KubeConfig::in_namespace("mcp-servers");
/// let mut locked = Environment::in_namespace("mcp-locked");
/// locked.network = NetworkMode::Off;
/// config.environments.insert("locked".into(), locked);
/// assert_eq!(config.environment(Some("locked"))?.namespace, "mcp-locked");
/// assert_eq!(config.environment(None)?.namespace, "mcp-servers");
/// # Ok::<(), portolan_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct KubeConfig {
    /// Where servers run that name no environment.
    pub default_environment: Environment,
    /// Further targets by name, for servers that name one. Default: none.
    pub environments: BTreeMap<String, Environment>,
    /// Who applies the objects: the field manager, and the value of the label `app.kubernetes.io/managed-by`. Two
    /// platforms in one namespace need two names, or each takes the other's servers for orphans. Default: `portolan`.
    pub field_manager: String,
    /// The cluster's DNS domain. Default: `cluster.local`.
    pub cluster_domain: String,
    /// The image that commands run in. Default: the base image of this release.
    pub base_image: String,
    /// Where the bridge comes from. Default: the base image has it.
    pub bridge: BridgeSource,
    /// How stdio servers are reached, unless they say so themselves. Default: by the bridge.
    pub stdio: StdioCarrier,
    /// How servers are reached. Default: found out.
    pub reach: EndpointMode,
    /// What each server asks for, by resource. Default: `cpu` 50m, `memory` 128Mi, `ephemeral-storage` 256Mi.
    pub requests: BTreeMap<String, String>,
    /// What each server may use at most, by resource. Default: `memory` 512Mi, `ephemeral-storage` 1Gi, and no limit of
    /// `cpu`.
    pub limits: BTreeMap<String, String>,
    /// The user that servers run as, by number; `None` is the user that the image names, which must be a number other
    /// than 0. Default: 65532, because most images name root or a user by name, and neither starts under the restricted
    /// Pod Security Standard.
    pub run_as_user: Option<u32>,
    /// Which nodes servers run on. Default: those that the host's own pod may run on.
    pub scheduling: SchedulingDefault,
    /// The service accounts that servers may name. Default: none.
    pub service_accounts: BTreeSet<String>,
    /// The secrets of the namespace that a server may refer to besides its own: in a Deployment YAML, and to take
    /// environment variables from. Default: none.
    pub allowed_secrets: BTreeSet<String>,
    /// Which pods may reach the servers: those that gateways run in. Default: pods labelled
    /// `app.kubernetes.io/name=portolan` in the host's own namespace.
    pub gateways: Vec<GatewayPeer>,
    /// Addresses besides pods of the cluster at which a server may ask for names, as CIDRs. Default: `169.254.20.10/32`,
    /// where the node-local DNS cache listens.
    pub dns: Vec<String>,
    /// How long a server stays up without a call before it is sent to sleep; `None` is for ever. Default: `None`.
    pub idle: Option<Duration>,
    /// How long a call to the API server may take, with all that is tried again. Default: 30 s.
    pub deadline: Duration,
}

/// A named target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Environment {
    /// The namespace, which exists.
    pub namespace: String,
    /// The images that may run here; empty allows all. A pattern fits an image that is equal to it, or that goes on after
    /// it with `/`, `:` or `@`: `ghcr.io/acme` fits `ghcr.io/acme/time:1` and not `ghcr.io/acme-evil/time`. A name
    /// without a registry is one of `docker.io`, as it is for nodes. The base image and the bridge's are always allowed.
    /// Default: empty.
    pub allowed_images: Vec<String>,
    /// What servers may reach. Default: the public internet.
    pub network: NetworkMode,
}

/// What servers may reach from their pods. Name servers of the cluster can be asked in every mode but `Off`.
///
/// The objects are plain network policies. A cluster whose network does not enforce these lets everything pass.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NetworkMode {
    /// Nothing, not even a name server.
    Off,
    /// What is listed; never, by its own doing, a private address, the cluster, or a cloud's metadata service.
    Restricted {
        /// Every public address.
        internet: bool,
        /// These too, as CIDRs: a database, say. They count even where they are private.
        extra_cidrs: Vec<String>,
    },
    /// Everything, the cluster included.
    Unrestricted,
}

/// Which pods a gateway runs in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GatewayPeer {
    /// Their namespace; `None` is the host's own, or the server's where the host runs outside of the cluster.
    pub namespace: Option<String>,
    /// Their labels.
    pub labels: BTreeMap<String, String>,
}

/// Where the bridge comes from: the program that serves a stdio server by HTTP inside its pod.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BridgeSource {
    /// The base image has it at `/portolan-bridge`. An image of the server's own gets it from there, by an init container.
    BaseImage,
    /// This image has it at `/portolan-bridge`. An init container brings it to every server.
    Image(String),
}

/// How servers are reached from where this program runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum EndpointMode {
    /// By the cluster's network where this program runs in the cluster, else by the API server.
    #[default]
    Auto,
    /// By the cluster's network: the names of services. Of a server with several copies, a gateway keeps to the same one, for
    /// legacy sessions live there (`sessionAffinity: ClientIP`); pin the server to the modern era to spread its calls.
    Cluster,
    /// By port-forward through the API server.
    PortForward,
}

/// Where the nodes are chosen.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub enum SchedulingDefault {
    /// As for the pod that this program runs in; no rules outside of a cluster.
    #[default]
    Inherited,
    /// By these rules.
    Given(Scheduling),
}

/// Which nodes a server runs on.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scheduling {
    /// Labels that the node has.
    pub node_selector: BTreeMap<String, String>,
    /// Taints that the node may have.
    pub tolerations: Vec<Toleration>,
}

impl KubeConfig {
    /// Servers run in `namespace`, which exists; all else is as the fields say.
    pub fn in_namespace(namespace: impl Into<String>) -> Self {
        Self {
            default_environment: Environment::in_namespace(namespace),
            environments: BTreeMap::new(),
            field_manager: "portolan".into(),
            cluster_domain: "cluster.local".into(),
            base_image: concat!("ghcr.io/portolan-mcp/mcp-server-base:", env!("CARGO_PKG_VERSION")).into(),
            bridge: BridgeSource::BaseImage,
            stdio: StdioCarrier::default(),
            reach: EndpointMode::default(),
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

    /// The environment of this name, or the default one.
    pub fn environment(&self, name: Option<&str>) -> Result<&Environment> {
        let Some(name) = name else {
            return Ok(&self.default_environment);
        };
        self.environments.get(name).ok_or_else(|| {
            let known: Vec<_> = self.environments.keys().map(String::as_str).collect();
            Error::invalid(
                "environment",
                format!("there is none named {name:?}; use one of {known:?}, or add it to KubeConfig::environments"),
            )
        })
    }

    /// Checks what the cluster would refuse for every server: names, ranges of addresses, quantities.
    pub fn check(&self) -> Result<()> {
        check_label("field_manager", &self.field_manager)?;
        let mut server = ServerSpec::command("sample", "sample", [""])?;
        for name in std::iter::once(None).chain(self.environments.keys().map(Some)) {
            server.kubernetes.environment = name.cloned();
            check_label("namespace", &self.environment(name.map(String::as_str))?.namespace)?;
            render::check(&server, self)?;
        }
        Ok(())
    }
}

/// Fails unless `text` can be the name of a namespace, and so also a part of other names.
fn check_label(field: &str, text: &str) -> Result<()> {
    let edge = |byte: Option<&u8>| byte.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let bytes = text.as_bytes();
    let fits = bytes.len() <= 63
        && edge(bytes.first())
        && edge(bytes.last())
        && bytes
            .iter()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-');
    if fits {
        return Ok(());
    }
    Err(Error::invalid(
        field,
        format!("{text:?} does not fit: use 1 to 63 of a-z, 0-9 and '-' between them"),
    ))
}

impl Environment {
    /// Any image, and the public internet, in `namespace`.
    pub fn in_namespace(namespace: impl Into<String>) -> Self {
        Self {
            namespace: namespace.into(),
            allowed_images: Vec::new(),
            network: NetworkMode::default(),
        }
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

impl Default for GatewayPeer {
    fn default() -> Self {
        Self {
            namespace: None,
            labels: [(crate::name::NAME.to_owned(), "portolan".to_owned())].into(),
        }
    }
}

fn quantities<const N: usize>(pairs: [(&str, &str); N]) -> BTreeMap<String, String> {
    pairs.map(|(name, quantity)| (name.into(), quantity.into())).into()
}
