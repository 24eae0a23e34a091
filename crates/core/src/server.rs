//! Servers: the entries of the catalogue.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::{
    Error, Field, FieldKey, HeaderPassthrough, KubernetesOptions, Labels, Owner, Result, ServerName, Source, Transport,
    UpstreamAuth,
};

/// A server: an approved entry of the catalogue, which people and teams install.
///
/// ```
/// use portolan_core::ServerSpec;
///
/// let local = ServerSpec::command("time", "uvx", ["mcp-server-time"])?;
/// let remote = ServerSpec::remote("github", "https://api.example.com/mcp")?;
/// # Ok::<(), portolan_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ServerSpec {
    /// The name, which is also the prefix of the tools.
    pub name: ServerName,
    /// The title for people.
    #[serde(default)]
    pub title: Option<String>,
    /// The purpose, for people.
    #[serde(default)]
    pub description: Option<String>,
    /// The release of the server.
    #[serde(default)]
    pub version: Option<String>,
    /// The URL of its documentation.
    #[serde(default)]
    pub docs_url: Option<Url>,
    /// The source: a URL, a program or an image.
    pub source: Source,
    /// The values that the server needs, asked for at install.
    #[serde(default)]
    pub fields: Vec<Field>,
    /// Headers without secrets that every request to the server carries. Hop-by-hop and `Mcp-*` names are refused.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// As whom it is called. Default: as its fields say.
    #[serde(default, skip_serializing_if = "UpstreamAuth::is_fields")]
    pub auth: UpstreamAuth,
    /// The headers of a caller's request that it is sent. Default: none.
    #[serde(default, skip_serializing_if = "HeaderPassthrough::is_empty")]
    pub passthrough: HeaderPassthrough,
    /// The protocol era of the server. Default: detected.
    #[serde(default)]
    pub era: ProtocolEra,
    /// How callers share a stdio server's process. Default: one process for all.
    #[serde(default)]
    pub sharing: Sharing,
    /// The requests that the server may send to clients during a call. Default: elicitation only.
    #[serde(default, rename = "asks")]
    pub server_requests: ServerRequestPolicy,
    /// The labels, by which gateways select servers.
    #[serde(default)]
    pub labels: Labels,
    /// The people and teams who see it in the catalogue and may install it. Default: everyone.
    #[serde(default)]
    pub visibility: Visibility,
    /// Options for Kubernetes runtimes.
    #[serde(default)]
    pub kubernetes: KubernetesOptions,
    /// The time of its deletion, for a server that was deleted and can be restored. The orchestrator sets it; a spec that is
    /// put has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deleted: Option<Timestamp>,
}

/// The protocol era of a server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProtocolEra {
    /// Detected by a request, and kept until a request fails.
    #[default]
    Auto,
    /// Protocol version 2026-07-28 or newer: requests without sessions.
    Modern,
    /// Protocol version 2025-11-25 or older: handshake and sessions.
    Legacy,
}

/// How callers share the process of a stdio server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Sharing {
    /// One process serves all callers of an install.
    #[default]
    Shared,
    /// One process serves one conversation, for servers that keep state: a session of a legacy client, or all requests of
    /// one caller of a gateway without a session. The first call starts it; it ends with the session or after a long time
    /// without calls.
    PerSession {
        /// The most conversations at once; a call of one more is refused. One more process serves requests that belong to
        /// none, such as lists.
        max: u16,
    },
}

/// The requests that a server may send to a client during a call, if the client supports them.
///
/// A capability that is off is not declared to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct ServerRequestPolicy {
    /// Elicitation: forms for the person, and pages to visit. Default: on.
    pub elicitation: bool,
    /// Sampling by the client's model. Default: off, because it carries data from the server to the model and back.
    pub sampling: bool,
    /// The list of the client's roots. Default: off, because they are folders of the client's machine.
    pub roots: bool,
}

impl Default for ServerRequestPolicy {
    fn default() -> Self {
        Self {
            elicitation: true,
            sampling: false,
            roots: false,
        }
    }
}

impl ServerRequestPolicy {
    /// All requests.
    pub const ALL: Self = Self {
        elicitation: true,
        sampling: true,
        roots: true,
    };
}

/// The visibility of a server in the catalogue.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Visibility {
    /// Everybody sees it.
    #[default]
    Everyone,
    /// These people and teams see it.
    Only(Vec<Owner>),
}

impl ServerSpec {
    /// Creates a server that runs `program` with `args` over stdio.
    ///
    /// ```
    /// let server = portolan_core::ServerSpec::command("time", "uvx", ["mcp-server-time"])?;
    /// assert!(server.is_self_hosted());
    /// # Ok::<(), portolan_core::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] for a name that is no slug, or an empty program.
    pub fn command<A: Into<String>>(
        name: impl AsRef<str>,
        program: impl Into<String>,
        args: impl IntoIterator<Item = A>,
    ) -> Result<Self> {
        Self::new(
            ServerName::parse(name)?,
            Source::Command {
                program: program.into(),
                args: args.into_iter().map(Into::into).collect(),
                transport: Transport::Stdio,
            },
        )
    }

    /// Creates a server that runs at `url`.
    ///
    /// ```
    /// let server = portolan_core::ServerSpec::remote("docs", "https://docs.example.com/mcp")?;
    /// assert!(!server.is_self_hosted());
    /// # Ok::<(), portolan_core::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] for a name that is no slug, or a URL that is not HTTP or holds a password.
    pub fn remote(name: impl AsRef<str>, url: impl AsRef<str>) -> Result<Self> {
        let url = Url::parse(url.as_ref()).map_err(|e| Error::invalid("server url", e.to_string()))?;
        Self::new(ServerName::parse(name)?, Source::Remote { url })
    }

    /// Creates a server that runs a container image over stdio.
    ///
    /// ```
    /// let server = portolan_core::ServerSpec::image("time", "mcp/time:1.2")?;
    /// # Ok::<(), portolan_core::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] for a name that is no slug, or an empty image.
    pub fn image(name: impl AsRef<str>, image: impl Into<String>) -> Result<Self> {
        Self::new(
            ServerName::parse(name)?,
            Source::Image {
                image: image.into(),
                program: None,
                args: Vec::new(),
                transport: Transport::Stdio,
            },
        )
    }

    /// Creates a server with a name and a source; all else is a public field.
    ///
    /// ```
    /// use portolan_core::{ServerName, ServerSpec, Source, Transport};
    ///
    /// let source = Source::Command {
    ///     program: "my-server".into(),
    ///     args: Vec::new(),
    ///     transport: Transport::Http { port: 8000, path: "/mcp".into() },
    /// };
    /// let mut server = ServerSpec::new(ServerName::parse("mine")?, source)?;
    /// server.title = Some("My server".into());
    /// # Ok::<(), portolan_core::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] for a source that [`check`](Self::check) refuses.
    pub fn new(name: ServerName, source: Source) -> Result<Self> {
        let spec = Self {
            name,
            title: None,
            description: None,
            version: None,
            docs_url: None,
            source,
            fields: Vec::new(),
            headers: BTreeMap::new(),
            auth: UpstreamAuth::default(),
            passthrough: HeaderPassthrough::default(),
            era: ProtocolEra::default(),
            sharing: Sharing::default(),
            server_requests: ServerRequestPolicy::default(),
            labels: Labels::default(),
            visibility: Visibility::default(),
            kubernetes: KubernetesOptions::default(),
            deleted: None,
        };
        spec.check()?;
        Ok(spec)
    }

    /// Adds a field.
    #[must_use]
    pub fn field(mut self, field: Field) -> Self {
        self.fields.push(field);
        self
    }

    /// Sets as whom it is called. For an example, see [`UpstreamAuth`].
    #[must_use]
    pub fn auth(mut self, auth: UpstreamAuth) -> Self {
        self.auth = auth;
        self
    }

    /// Sets the labels.
    ///
    /// ```
    /// use portolan_core::{Labels, ServerSpec};
    ///
    /// let docs = ServerSpec::remote("docs", "https://docs.example.com/mcp")?.labels(Labels::new([("team", "web")])?);
    /// assert!(!docs.labels.is_empty());
    /// # Ok::<(), portolan_core::Error>(())
    /// ```
    #[must_use]
    pub fn labels(mut self, labels: Labels) -> Self {
        self.labels = labels;
        self
    }

    /// Checks the members against each other. Callers that store a spec check it first; the orchestrator does.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] that names the first member that is not valid.
    pub fn check(&self) -> Result<()> {
        self.source.check()?;
        crate::server_check::fields(&self.fields, &self.source)?;
        crate::server_check::headers(&self.headers)?;
        self.auth.check(&self.source)?;
        self.passthrough.check()
    }

    /// Returns `true` if both run and are reached in the same way: they differ at most in their texts for people, labels and
    /// visibility, so that nothing has to be started, connected or installed again.
    ///
    /// ```
    /// use portolan_core::{Labels, ServerSpec};
    ///
    /// let server = ServerSpec::remote("docs", "https://docs.example.com/mcp")?;
    /// let mut labelled = server.clone();
    /// labelled.labels = Labels::new([("team", "web")])?;
    /// assert!(labelled.runs_like(&server));
    /// assert!(!server.runs_like(&ServerSpec::remote("docs", "https://docs.example.org/mcp")?));
    /// # Ok::<(), portolan_core::Error>(())
    /// ```
    pub fn runs_like(&self, other: &Self) -> bool {
        let mut this = self.clone();
        this.title.clone_from(&other.title);
        this.description.clone_from(&other.description);
        this.version.clone_from(&other.version);
        this.docs_url.clone_from(&other.docs_url);
        this.labels.clone_from(&other.labels);
        this.visibility.clone_from(&other.visibility);
        this == *other
    }

    /// Returns `true` if a [`Runtime`](crate::Runtime) runs the server.
    pub fn is_self_hosted(&self) -> bool {
        !matches!(self.source, Source::Remote { .. })
    }

    /// Returns the field with this key.
    pub fn field_named(&self, key: &FieldKey) -> Option<&Field> {
        self.fields.iter().find(|field| field.key == *key)
    }
}
