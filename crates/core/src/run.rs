//! What a runtime is asked to run.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    CredentialKey, KubernetesOptions, Owner, ProtocolEra, ServerName, ServerRequestPolicy, Sharing, Source, Version,
};

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
    pub env: BTreeMap<String, EnvValue>,
    /// Files that only the server can read, by name.
    pub files: BTreeMap<String, EnvValue>,
    /// Which era it speaks.
    pub era: ProtocolEra,
    /// Who shares it.
    pub sharing: Sharing,
    /// What it may ask clients in the middle of a call.
    #[serde(default, rename = "asks")]
    pub server_requests: ServerRequestPolicy,
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
pub enum EnvValue {
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
            era: ProtocolEra::default(),
            sharing: Sharing::default(),
            server_requests: ServerRequestPolicy::default(),
            kubernetes: KubernetesOptions::default(),
            secret_versions: BTreeMap::new(),
        }
    }
}
