//! The specification of a deployment.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    CredentialKey, KubernetesOptions, Owner, ProtocolEra, ServerName, ServerRequestPolicy, Sharing, Source, Version,
};

/// The specification of a deployment, which a [`Runtime`](crate::Runtime) runs. It names secrets by their keys and never
/// holds one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RunSpec {
    /// The server that it is made from.
    pub server: ServerName,
    /// The owner of the install.
    pub owner: Owner,
    /// The program or image: never [`Source::Remote`]. Placeholders in arguments are filled in.
    pub source: Source,
    /// The environment variables.
    pub env: BTreeMap<String, EnvValue>,
    /// The files that only the server can read, by name.
    pub files: BTreeMap<String, EnvValue>,
    /// The protocol era of the server.
    pub era: ProtocolEra,
    /// How callers share a stdio server's process.
    pub sharing: Sharing,
    /// The requests that the server may send to clients during a call.
    #[serde(default, rename = "asks")]
    pub server_requests: ServerRequestPolicy,
    /// Options for Kubernetes runtimes.
    pub kubernetes: KubernetesOptions,
    /// The versions of the secrets at the time of writing. A changed secret makes another spec, so that
    /// [`ensure`](crate::Runtime::ensure) replaces a deployment that runs with the old one. A runtime reads the stored
    /// secret, whatever its version.
    #[serde(default)]
    pub secret_versions: BTreeMap<CredentialKey, Version>,
}

/// The value of an environment variable or file of a deployment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EnvValue {
    /// A text.
    Plain(String),
    /// The key of a secret, which the runtime reads when it starts the server.
    Secret(CredentialKey),
}

impl RunSpec {
    /// Creates the specification of a deployment of `source` without environment and files.
    ///
    /// ```
    /// use portolan_core::{Owner, RunSpec, ServerSpec};
    ///
    /// let server = ServerSpec::command("time", "uvx", ["mcp-server-time"])?;
    /// let spec = RunSpec::new(server.name, Owner::Org, server.source);
    /// assert!(spec.env.is_empty());
    /// # Ok::<(), portolan_core::Error>(())
    /// ```
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
