//! What is in a file.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

/// The result of an import. As JSON, whatever is absent, empty or its default is left out.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Import {
    /// The name of the format.
    pub format: &'static str,
    /// Why the whole file cannot be imported: `syntax:LINE`, `too-long`, or `placeholder-in-version`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The servers, in the file's order. Absent with an error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub servers: Option<Vec<ImportedServer>>,
    /// The entries that cannot be imported.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rejected: Vec<Rejected>,
    /// Warnings for the file as a whole.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// An entry that cannot be imported.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Rejected {
    /// The name of the entry.
    pub name: String,
    /// The reason, `code` or `code:detail`.
    pub reason: String,
}

/// A server of the file. `<<NAME>>` in a string stands for the value of the input of that name.
///
/// `Debug` and JSON hold no secret that the file has as a literal: those are [inputs](Input), and their values are in
/// [`literals`](Self::literals), which is not written.
#[derive(Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ImportedServer {
    /// The name.
    pub name: String,
    /// How it is reached or started.
    pub launch: Option<Launch>,
    /// `false` if the client would not start it.
    #[serde(skip_serializing_if = "is_true")]
    pub enabled: bool,
    /// The title.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// The description.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// What the command installs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub package: Option<Package>,
    /// Environment variables.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Environment variables that the client takes away.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub env_unset: Vec<String>,
    /// Headers of requests.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// What somebody or something must supply.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<Input>,
    /// Which tools may be used.
    #[serde(skip_serializing_if = "Tools::is_empty")]
    pub tools: Tools,
    /// Time limits.
    #[serde(skip_serializing_if = "Timeouts::is_empty")]
    pub timeouts_ms: Timeouts,
    /// OAuth; empty if nothing is known yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oauth: Option<OAuth>,
    /// Further ways to reach or run the same server.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub alternatives: Vec<Launch>,
    /// Where a started package listens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub serves: Option<Launch>,
    /// Overrides by platform.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub platforms: BTreeMap<String, Value>,
    /// The project folder that the entry belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// What the registry says of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub registry: Option<RegistryStatus>,
    /// Warnings, `code` or `code:detail`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// The values of inputs with the source `literal`, by name.
    #[serde(skip)]
    pub literals: BTreeMap<String, String>,
}

impl std::fmt::Debug for ImportedServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shown = serde_json::to_string(self).map_err(|_| std::fmt::Error)?;
        write!(f, "ImportedServer({shown})")
    }
}

/// How a server is reached or started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase", tag = "kind")]
#[non_exhaustive]
pub enum Launch {
    /// A process with pipes.
    Stdio {
        /// The program.
        command: String,
        /// Its arguments.
        args: Vec<String>,
        /// Its working directory.
        #[serde(skip_serializing_if = "Option::is_none")]
        cwd: Option<String>,
    },
    /// A URL.
    Http {
        /// The URL.
        url: String,
        /// `streamable-http`, `sse`, or `either`.
        transport: &'static str,
    },
    /// A container with pipes.
    Container {
        /// The image.
        image: String,
        /// The arguments after the image.
        args: Vec<String>,
        /// Volumes, `source:target[:ro]`.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        volumes: Vec<String>,
        /// The network.
        #[serde(skip_serializing_if = "Option::is_none")]
        network: Option<String>,
        /// The user.
        #[serde(skip_serializing_if = "Option::is_none")]
        user: Option<String>,
    },
    /// A bundle to download.
    Bundle {
        /// The URL.
        url: String,
        /// The digest of the file.
        sha256: Option<String>,
    },
}

/// What a command installs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Package {
    /// `npm`, `pypi`, `oci`, `nuget`, `cargo`, `mcpb` or `git`.
    pub registry: &'static str,
    /// The name.
    pub name: String,
    /// The version, if it is exact.
    pub version: Option<String>,
    /// The arguments of the server itself.
    pub args: Vec<String>,
    /// The program, where it has another name than the package.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub program: Option<String>,
}

/// What somebody or something must supply.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Input {
    /// The name, unique in its server.
    pub name: String,
    /// `true` for a secret.
    pub secret: bool,
    /// `true` if the server needs it.
    pub required: bool,
    /// Who supplies it: `environment`, `prompt`, `user`, `keyring`, `secret-store`, `file`, `client`, `caller`, `variable`,
    /// `argument`, `header` or `literal`.
    pub source: &'static str,
    /// The value without an answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<Value>,
    /// The answers to choose from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub choices: Option<Value>,
    /// The kind of text: `number`, `boolean`, `filepath`, `directory`, `file`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
    /// `true` if there can be several.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub repeated: bool,
    /// The title.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// The description.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The least number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min: Option<Value>,
    /// The greatest number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<Value>,
}

/// Which tools may be used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Tools {
    /// The allowed ones; empty allows none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub only: Option<Vec<String>>,
    /// The denied ones, after `only`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub never: Vec<String>,
    /// Those that run without asking; `*` for all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unasked: Vec<String>,
}

impl Tools {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Time limits in milliseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Timeouts {
    /// Until it has started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start: Option<u64>,
    /// Until a call is answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub call: Option<u64>,
}

impl Timeouts {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What is known of a server's OAuth.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct OAuth {
    /// The client id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// The client's secret: a reference to an input.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_secret: Option<String>,
    /// The scopes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<String>,
    /// The resource (RFC 8707).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
    /// The audiences.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub audience: Vec<String>,
    /// The authorization endpoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authorization_url: Option<String>,
    /// The token endpoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_url: Option<String>,
}

/// What a registry says of a server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RegistryStatus {
    /// `active` or `deprecated`.
    pub status: String,
    /// Why it has this status.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// `true` for the latest version.
    pub latest: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_true(flag: &bool) -> bool {
    *flag
}
