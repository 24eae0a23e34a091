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
