//! What only a Kubernetes runtime needs to know: plain data, so that entries can be stored without a cluster in sight.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// How a server is run in a cluster, where that differs from the defaults.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct KubernetesOptions {
    /// The environment (a named target) to run in; `None` is the default one.
    pub environment: Option<String>,
    /// One deployment for all installs of this server instead of one for each.
    pub multitenant: bool,
    /// Existing secrets, or registry credentials by name, to pull the image with.
    pub image_pull_secrets: Vec<ImagePullSecret>,
    /// Secrets and config maps whose entries become environment variables.
    pub env_from: Vec<EnvFrom>,
    /// The service account to run as; it must be in the runtime's allow list.
    pub service_account: Option<String>,
    /// Resource requests by name (`cpu`, `memory`, …), as Kubernetes writes quantities.
    pub requests: BTreeMap<String, String>,
    /// Resource limits by name.
    pub limits: BTreeMap<String, String>,
    /// Node labels to run on; replaces the inherited ones.
    pub node_selector: Option<BTreeMap<String, String>>,
    /// A Deployment in YAML to start from instead of the generated one.
    pub deployment_yaml: Option<String>,
    /// Copies to run, for HTTP servers. `None` leaves the number to whoever scales it.
    pub replicas: Option<u16>,
    /// How a stdio server is reached in its pod; `None` is the runtime's choice.
    pub stdio: Option<StdioCarrier>,
    /// Taints of nodes that it bears; replaces the inherited ones.
    pub tolerations: Option<Vec<Toleration>>,
    /// Which user it runs as; `None` is the runtime's choice, which is never root.
    pub run_as: Option<RunAs>,
    /// Whether its root file system is read-only; `None` is the runtime's choice, which is yes. `/tmp` is writable always.
    pub read_only_root: Option<bool>,
    /// Directories, besides `/tmp`, that it may write to. They begin empty with each pod.
    pub writable: Vec<String>,
    /// Whether the token of its service account is mounted. Default: no.
    pub service_account_token: bool,
    /// How long, in seconds, it may take to answer for the first time after it was started; `None` is 120.
    pub start_seconds: Option<u32>,
    /// How long, in seconds, it may take to end, with the calls that it has under way; `None` is the runtime's choice.
    pub grace_seconds: Option<u32>,
    /// When its image is pulled; `None` goes by the image's name.
    pub image_pull: Option<ImagePull>,
}

/// How a stdio server is reached in its pod.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum StdioCarrier {
    /// A small program in the pod starts it and serves it by HTTP, to any number of callers and replicas.
    #[default]
    Bridge,
    /// Through the cluster's API server, which is attached to its input and output. For images that nothing may be added
    /// to; one owner at a time.
    Attach,
}

/// Which user a server runs as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RunAs {
    /// The user that its image names, by number and other than root.
    Image,
    /// The user of this number. 0 is root.
    User(u32),
}

/// When an image is pulled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ImagePull {
    /// At each start.
    Always,
    /// When the node does not have it.
    IfNotPresent,
    /// Not at all: the node has it.
    Never,
}

/// A taint of nodes that a server bears, as Kubernetes writes it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Toleration {
    /// The taint's key; `None` is every key.
    pub key: Option<String>,
    /// `Equal` or `Exists`; `None` is `Equal`.
    pub operator: Option<String>,
    /// The taint's value, with `Equal`.
    pub value: Option<String>,
    /// `NoSchedule`, `PreferNoSchedule` or `NoExecute`; `None` is each of them.
    pub effect: Option<String>,
    /// How long, in seconds, it stays on a node that gets the taint, with `NoExecute`; `None` is for ever.
    pub seconds: Option<i64>,
}

/// With what an image is pulled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ImagePullSecret {
    /// A secret that exists in the namespace.
    Existing {
        /// Its name.
        name: String,
    },
    /// A registry account; its password is in the credential store.
    Credentials {
        /// The registry's host.
        registry: String,
        /// The account's name.
        username: String,
        /// Where the password is kept.
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
        /// Its name.
        name: String,
        /// What stands before each name.
        prefix: Option<String>,
    },
    /// All entries of a config map.
    ConfigMap {
        /// Its name.
        name: String,
        /// What stands before each name.
        prefix: Option<String>,
    },
}
