//! What a runtime is asked to run.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Asks, CredentialKey, EraPin, KubernetesOptions, Owner, ServerName, Sharing, Source, Version};

/// A deployment as it shall be. It names secrets by their keys and never holds one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RunSpec {
    /// The server that it is made from.
    pub server: ServerName,
    /// Whose it is.
    pub owner: Owner,
    /// What runs: never [`Source::Remote`]. Arguments are filled in.
    pub source: Source,
    /// Environment variables.
    pub env: BTreeMap<String, Value>,
    /// Files that only the server can read, by name.
    pub files: BTreeMap<String, Value>,
    /// Which era it speaks.
    pub era: EraPin,
    /// Who shares it.
    pub sharing: Sharing,
    /// What it may ask clients in the middle of a call.
    #[serde(default)]
    pub asks: Asks,
    /// What only a Kubernetes runtime needs to know.
    pub kubernetes: KubernetesOptions,
    /// The versions that its secrets had when this was made. A changed secret makes another spec, so that
    /// [`ensure`](crate::Runtime::ensure) replaces what still runs with the old one. A runtime reads the secret that there
    /// is, whatever its version.
    #[serde(default)]
    pub secret_versions: BTreeMap<CredentialKey, Version>,
}

/// A value that a deployment is given at start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Value {
    /// Plain text.
    Plain(String),
    /// A secret, which the runtime reads when it starts the server.
    Secret(CredentialKey),
}

impl RunSpec {
    /// A deployment of `source` with nothing else.
    pub fn new(server: ServerName, owner: Owner, source: Source) -> Self {
        Self {
            server,
            owner,
            source,
            env: BTreeMap::new(),
            files: BTreeMap::new(),
            era: EraPin::default(),
            sharing: Sharing::default(),
            asks: Asks::default(),
            kubernetes: KubernetesOptions::default(),
            secret_versions: BTreeMap::new(),
        }
    }
}
