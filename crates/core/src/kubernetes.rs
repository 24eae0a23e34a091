//! Options of servers for Kubernetes runtimes: plain data, so that entries can be stored without a cluster.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The options of a server for Kubernetes runtimes. By default all are those of the runtime.
///
/// ```
/// use portolan_core::KubernetesOptions;
///
/// let mut options = KubernetesOptions::default();
/// options.replicas = Some(2);
/// options.requests.insert("memory".into(), "128Mi".into());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct KubernetesOptions {
    /// The environment (a named target) to run in; `None` for the default one.
    pub environment: Option<String>,
    /// `true` for one deployment for all installs of the server; `false` for one each.
    pub multitenant: bool,
    /// The credentials to pull the image with: existing secrets, or accounts of image registries.
    pub image_pull_secrets: Vec<ImagePullSecret>,
    /// The secrets and config maps whose entries become environment variables.
    pub env_from: Vec<EnvFrom>,
    /// The service account; it must be in the runtime's allow list. `None` for the runtime's.
    pub service_account: Option<String>,
    /// The resource requests by name (`cpu`, `memory`, …), as Kubernetes quantities.
    pub requests: BTreeMap<String, String>,
    /// The resource limits by name, as Kubernetes quantities.
    pub limits: BTreeMap<String, String>,
    /// The labels of nodes to run on; `None` for the inherited ones.
    pub node_selector: Option<BTreeMap<String, String>>,
    /// A Deployment in YAML that replaces the generated one.
    pub deployment_yaml: Option<String>,
    /// The number of pods, for HTTP servers. `None` leaves it to an autoscaler.
    pub replicas: Option<u16>,
    /// The way to a stdio server in its pod; `None` for the runtime's choice.
    pub stdio: Option<StdioCarrier>,
    /// The tolerations; `None` for the inherited ones.
    pub tolerations: Option<Vec<Toleration>>,
    /// The user of the process; `None` for the runtime's choice, which is never root.
    pub run_as: Option<RunAs>,
    /// `true` for a read-only root file system; `None` for the runtime's choice, which is `true`. `/tmp` is always writable.
    pub read_only_root: Option<bool>,
    /// The writable directories besides `/tmp`. They are empty at the start of each pod.
    pub writable: Vec<String>,
    /// `true` to mount the token of the service account. Default: `false`.
    pub service_account_token: bool,
    /// The longest time from start to the first response, in seconds; `None` for 120.
    pub start_seconds: Option<u32>,
    /// The longest time from the request to end to the end, in seconds, while calls finish; `None` for the runtime's choice.
    pub grace_seconds: Option<u32>,
    /// The pull policy of the image; `None` for that of Kubernetes, which depends on the tag.
    pub image_pull: Option<ImagePull>,
}

/// The way to a stdio server in its pod.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum StdioCarrier {
    /// A program in the pod starts the server and serves it over HTTP, to any number of callers and replicas.
    #[default]
    Bridge,
    /// The API server of the cluster attaches to its input and output. For images to which nothing may be added; one
    /// gateway replica at a time.
    Attach,
}

/// The user of a server's process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RunAs {
    /// The user that the image names, by a number other than root's.
    Image,
    /// The user with this number. 0 is root.
    User(u32),
}

/// The pull policy of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ImagePull {
    /// The image is pulled at each start.
    Always,
    /// The image is pulled if the node does not have it.
    IfNotPresent,
    /// The image is never pulled: the node has it.
    Never,
}

/// A toleration of a taint of nodes, as Kubernetes writes it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Toleration {
    /// The key of the taint; `None` for every key.
    pub key: Option<String>,
    /// The operator: `Equal` or `Exists`; `None` for `Equal`.
    pub operator: Option<String>,
    /// The value of the taint, for `Equal`.
    pub value: Option<String>,
    /// The effect: `NoSchedule`, `PreferNoSchedule` or `NoExecute`; `None` for all.
    pub effect: Option<String>,
    /// The time on a node that gets the taint, in seconds, for `NoExecute`; `None` for ever.
    pub seconds: Option<i64>,
}

/// A credential to pull an image with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ImagePullSecret {
    /// An existing secret of the namespace.
    Existing {
        /// The name.
        name: String,
    },
    /// An account of an image registry.
    Credentials {
        /// The host of the image registry.
        registry: String,
        /// The name of the account.
        username: String,
        /// The key of the password in the credential store.
        password: crate::CredentialKey,
    },
}

/// A source of environment variables in the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum EnvFrom {
    /// All entries of a secret.
    Secret {
        /// The name.
        name: String,
        /// The text before each name; `None` for nothing.
        prefix: Option<String>,
    },
    /// All entries of a config map.
    ConfigMap {
        /// The name.
        name: String,
        /// The text before each name; `None` for nothing.
        prefix: Option<String>,
    },
}
