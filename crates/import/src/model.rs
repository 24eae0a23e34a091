//! What an import finds. `Serialize` writes the result form.

use std::collections::{BTreeMap, BTreeSet};

use portolan_core::Secret;
use serde::Serialize;

use crate::{Format, Reason, Text, Warning};

/// What a file holds: servers, entries that cannot be imported, and what is lost.
///
/// `Serialize` writes the result form, which holds no secret: see the crate's documentation.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Import {
    /// The format that was read.
    #[serde(serialize_with = "crate::report::format")]
    pub format: Format,
    /// The servers, in the file's order.
    pub servers: Vec<Server>,
    /// The entries that cannot be imported.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rejected: Vec<Rejected>,
    /// Warnings for the file as a whole.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Warning>,
}

/// An entry that cannot be imported.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Rejected {
    /// Its name in the file.
    pub name: String,
    /// Why it cannot.
    pub reason: Reason,
    /// The line of the file on which it begins, from 1.
    #[serde(skip)]
    pub line: u32,
}

/// A server of a file.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Server {
    /// Its name in the file; not yet a name of a catalogue.
    pub name: String,
    /// How it is started or reached.
    pub launch: Launch,
    /// `false` if that client would not start it. Default: `true`.
    #[serde(skip_serializing_if = "is_true")]
    pub enabled: bool,
    /// The title for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// The purpose, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The release of the server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// What the command installs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub package: Option<Package>,
    /// Environment variables. No secret stands in one as a literal.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, Text>,
    /// Environment variables that the client takes away.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub env_unset: BTreeSet<String>,
    /// Headers of every request. No secret stands in one as a literal.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, Text>,
    /// What somebody or something must supply. No name is there twice.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<Input>,
    /// Which tools may be called.
    #[serde(skip_serializing_if = "Tools::is_default")]
    pub tools: Tools,
    /// Time limits.
    #[serde(rename = "timeoutsMs", skip_serializing_if = "Timeouts::is_default")]
    pub timeouts: Timeouts,
    /// OAuth, if the file says something of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oauth: Option<OAuth>,
    /// Further ways to run or reach the same server.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub alternatives: Vec<Launch>,
    /// Where a started package listens, if it does not speak over stdio.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub serves: Option<Launch>,
    /// What differs by platform (`win32`, `darwin`, `linux`): each member replaces that of the server.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub platforms: BTreeMap<String, Platform>,
    /// The project folder that the entry belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// What the official registry says of this version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub registry: Option<RegistryStatus>,
    /// What is lost or worth a look.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Warning>,
    /// The line of the file on which the entry begins, from 1.
    #[serde(skip)]
    pub line: u32,
}

#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_true(value: &bool) -> bool {
    *value
}

impl Server {
    /// Creates a server that is enabled, with a name and a launch; all else is a public field.
    ///
    /// ```
    /// use portolan_import::{Launch, Server, TransportKind};
    ///
    /// let launch = Launch::Http { url: "https://docs.example.com/mcp".into(), transport: TransportKind::StreamableHttp };
    /// let server = Server::new("docs", launch);
    /// assert!(server.enabled && server.env.is_empty());
    /// ```
    pub fn new(name: impl Into<String>, launch: Launch) -> Self {
        Self {
            name: name.into(),
            launch,
            enabled: true,
            title: None,
            description: None,
            version: None,
            package: None,
            env: BTreeMap::new(),
            env_unset: BTreeSet::new(),
            headers: BTreeMap::new(),
            inputs: Vec::new(),
            tools: Tools::default(),
            timeouts: Timeouts::default(),
            oauth: None,
            alternatives: Vec::new(),
            serves: None,
            platforms: BTreeMap::new(),
            scope: None,
            registry: None,
            warnings: Vec::new(),
            line: 0,
        }
    }

    /// Returns the input with this name.
    pub fn input(&self, name: &str) -> Option<&Input> {
        self.inputs.iter().find(|input| input.name == name)
    }
}

/// How a server is started or reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Launch {
    /// A program on the machine, over standard input and output.
    Stdio {
        /// The program.
        command: Text,
        /// Its arguments.
        args: Vec<Text>,
        /// The working directory.
        #[serde(skip_serializing_if = "Option::is_none")]
        cwd: Option<Text>,
    },
    /// A server at a URL.
    Http {
        /// The URL.
        url: Text,
        /// The transport.
        transport: TransportKind,
    },
    /// A container image, over standard input and output.
    Container {
        /// The image reference.
        image: Text,
        /// The arguments after the image.
        args: Vec<Text>,
        /// Mounts, `source:target` or `source:target:ro`.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        volumes: Vec<Text>,
        /// The network; `none` for none.
        #[serde(skip_serializing_if = "Option::is_none")]
        network: Option<Text>,
        /// The user, and its group.
        #[serde(skip_serializing_if = "Option::is_none")]
        user: Option<Text>,
    },
    /// A bundle (MCPB) to download.
    Bundle {
        /// Its URL.
        url: Text,
        /// Its SHA-256 in hexadecimal digits.
        sha256: String,
    },
}

/// The transport of a server at a URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum TransportKind {
    /// Streamable HTTP.
    StreamableHttp,
    /// HTTP+SSE, the transport before streamable HTTP.
    Sse,
    /// The client tries one and then the other.
    Either,
}

/// What a command installs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Package {
    /// Where it comes from.
    pub registry: PackageRegistry,
    /// Its name there.
    pub name: String,
    /// Its version, if that is exact.
    pub version: Option<String>,
    /// The arguments of the server itself.
    pub args: Vec<Text>,
    /// The started program, where it is not named like the package.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub program: Option<String>,
}

/// Where packages come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum PackageRegistry {
    /// npm.
    Npm,
    /// PyPI.
    Pypi,
    /// A container registry.
    Oci,
    /// NuGet.
    Nuget,
    /// crates.io.
    Cargo,
    /// A bundle at a URL.
    Mcpb,
    /// A repository of sources.
    Git,
}

/// A value that somebody or something must supply.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Input {
    /// The name, by which texts refer to it.
    pub name: String,
    /// `true` if it must be stored as a secret.
    pub secret: bool,
    /// `true` if the server does not work without it.
    pub required: bool,
    /// Who supplies it.
    pub source: InputSource,
    /// The value without an answer, as JSON: text, a number, a boolean or a list of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<serde_json::Value>,
    /// The values to choose from. Empty: any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub choices: Vec<String>,
    /// The kind of value as the source states it: `number`, `boolean`, `filepath`, `file`, `directory`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
    /// `true` if it may have several values.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub repeated: bool,
    /// The title in forms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// The description in forms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The least number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min: Option<serde_json::Number>,
    /// The greatest number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<serde_json::Number>,
    /// The value that the file holds, for [`InputSource::Literal`]. It is never serialized.
    #[serde(skip)]
    pub value: Option<Secret>,
}

impl Input {
    /// Creates a required input that is no secret; all else is a public field.
    ///
    /// ```
    /// use portolan_import::{Input, InputSource};
    ///
    /// let input = Input::new("REGION", InputSource::Environment);
    /// assert!(input.required && !input.secret);
    /// ```
    pub fn new(name: impl Into<String>, source: InputSource) -> Self {
        Self {
            name: name.into(),
            secret: false,
            required: true,
            source,
            default: None,
            choices: Vec::new(),
            format: None,
            repeated: false,
            title: None,
            description: None,
            min: None,
            max: None,
            value: None,
        }
    }
}

/// Who supplies an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum InputSource {
    /// The environment of whoever runs the client.
    Environment,
    /// The client asks.
    Prompt,
    /// Each user's own setting.
    User,
    /// The client's keyring.
    Keyring,
    /// A store of secrets.
    SecretStore,
    /// The content of a file.
    File,
    /// The client knows it: the workspace folder, the home folder, the bundle's own folder.
    Client,
    /// The identity of the calling user.
    Caller,
    /// Declared in a `server.json` as a variable of a text.
    Variable,
    /// Declared in a `server.json` as an argument.
    Argument,
    /// Declared in a `server.json` as a header.
    Header,
    /// The file holds the value.
    Literal,
}

/// Which tools may be called.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Tools {
    /// Only these; an empty list is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub only: Option<Vec<String>>,
    /// Never these, applied after `only`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub never: Vec<String>,
    /// These run without asking; `*` is all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unasked: Vec<String>,
}

impl Tools {
    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Time limits in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Timeouts {
    /// For the start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start: Option<u64>,
    /// For a call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub call: Option<u64>,
}

impl Timeouts {
    #[allow(clippy::trivially_copy_pass_by_ref)]
    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// What a file says of OAuth. All absent: OAuth, nothing known yet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct OAuth {
    /// The client's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_id: Option<Text>,
    /// The client's secret, never a literal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_secret: Option<Text>,
    /// The scopes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<Text>,
    /// The resource (RFC 8707).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource: Option<Text>,
    /// The audiences.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub audience: Vec<Text>,
    /// The authorization endpoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authorization_url: Option<Text>,
    /// The token endpoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_url: Option<Text>,
}

/// What differs on one platform.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Platform {
    /// Replaces the program.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<Text>,
    /// Replaces the arguments.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub args: Option<Vec<Text>>,
    /// Replaces all environment variables.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub env: Option<BTreeMap<String, Text>>,
}

/// What the official registry says of a version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RegistryStatus {
    /// `active` or `deprecated`.
    pub status: String,
    /// Why it has that status.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// `true` for the version that the registry calls the latest.
    pub latest: bool,
}
