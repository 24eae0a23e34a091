//! A server: the catalogue entry that installs are made from.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use url::Url;

use crate::{Error, FieldKey, KubernetesOptions, Labels, Owner, Result, ServerName};

/// A catalogue entry: a reusable, approved template that people and teams install.
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
    /// Its name, and the prefix of its tools.
    pub name: ServerName,
    /// What people call it.
    #[serde(default)]
    pub title: Option<String>,
    /// What it is for.
    #[serde(default)]
    pub description: Option<String>,
    /// Which release of the server this entry stands for.
    #[serde(default)]
    pub version: Option<String>,
    /// Where its documentation is.
    #[serde(default)]
    pub docs_url: Option<Url>,
    /// Where it comes from, and so who runs it.
    pub source: Source,
    /// The values that the server needs, asked for at install.
    #[serde(default)]
    pub fields: Vec<Field>,
    /// Headers without secrets that go with every call upstream. Hop-by-hop and `Mcp-*` names are refused.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Which protocol era it speaks; found by asking unless it is pinned.
    #[serde(default)]
    pub era: ProtocolEra,
    /// Who shares a running stdio server.
    #[serde(default)]
    pub sharing: Sharing,
    /// What it may ask clients in the middle of a call.
    #[serde(default, rename = "asks")]
    pub server_requests: ServerRequestPolicy,
    /// What organises it, and what gateways choose it by.
    #[serde(default)]
    pub labels: Labels,
    /// Who sees it in the catalogue and may install it.
    #[serde(default)]
    pub visibility: Visibility,
    /// What only a Kubernetes runtime needs to know.
    #[serde(default)]
    pub kubernetes: KubernetesOptions,
}

/// Where a server comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Source {
    /// It runs elsewhere and is reached by streamable HTTP.
    Remote {
        /// Its MCP endpoint.
        url: Url,
    },
    /// A program that the runtime starts: a child process on one machine, the base image with this command in a cluster.
    Command {
        /// The program: a path, or a name that is looked up in the runtime's search path. No shell is involved.
        program: String,
        /// Its arguments, each passed on as it stands.
        args: Vec<String>,
        /// How it is spoken to.
        transport: Transport,
    },
    /// A container image of one's own.
    Image {
        /// The image reference.
        image: String,
        /// Replaces the image's entry point.
        program: Option<String>,
        /// Replaces the image's arguments, when not empty.
        args: Vec<String>,
        /// How it is spoken to.
        transport: Transport,
    },
}

/// How a self-hosted server is spoken to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Transport {
    /// By lines on its standard input and output.
    #[default]
    Stdio,
    /// By streamable HTTP on a port of its own.
    Http {
        /// The port.
        port: u16,
        /// The path of its MCP endpoint, beginning with `/`.
        path: String,
    },
}

/// Which protocol era a server speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProtocolEra {
    /// Found by asking it; kept until it fails.
    #[default]
    Auto,
    /// 2026-07-28 or newer.
    Modern,
    /// 2025-11-25 or older.
    Legacy,
}

/// Who shares a running stdio server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Sharing {
    /// One process serves all callers of an install.
    #[default]
    Shared,
    /// A process for each conversation, for servers that hold its state: for each session of a legacy client, and for each
    /// caller of a gateway who comes without sessions. It is started by the first call, and ended with the session or when
    /// it was unused for long.
    PerSession {
        /// How many conversations are served at once, at the most; a call of one more is refused. One process beside them
        /// is there for what belongs to none, such as lists.
        max: u16,
    },
}

/// What a server may ask a client in the middle of a call, where the client can be asked.
///
/// What is off is not declared to the server, which then does without it in its own way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct ServerRequestPolicy {
    /// Questions to the person: forms, and pages to visit. Default on.
    pub elicitation: bool,
    /// Work for the client's model. Default off: it carries data from the server to the model and back.
    pub sampling: bool,
    /// Which folders it may work in. Default off: they are those of the client's machine.
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
    /// Everything.
    pub const ALL: Self = Self {
        elicitation: true,
        sampling: true,
        roots: true,
    };
}

/// Who sees a server in the catalogue.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Visibility {
    /// Everybody.
    #[default]
    Everyone,
    /// These people and teams.
    Only(Vec<Owner>),
}

/// A value that a server needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Field {
    /// Its key among the fields of this server.
    pub key: FieldKey,
    /// What the form calls it.
    #[serde(default)]
    pub title: Option<String>,
    /// What the form says about it.
    #[serde(default)]
    pub description: Option<String>,
    /// What text fits.
    #[serde(default)]
    pub kind: FieldKind,
    /// Whether an install needs it.
    #[serde(default)]
    pub required: bool,
    /// Whether it is a secret: kept in the credential store, never in the registry.
    #[serde(default)]
    pub secret: bool,
    /// What stands for an answer that is not given. Must not be set on a secret.
    #[serde(default)]
    pub default: Option<String>,
    /// How it reaches the server.
    pub delivery: Delivery,
}

/// What text fits a field.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FieldKind {
    /// Any text.
    #[default]
    Text,
    /// A decimal number.
    Number,
    /// `true` or `false`.
    Boolean,
    /// An absolute URL.
    Url,
}

/// How a field's value reaches the server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Delivery {
    /// An environment variable, at start.
    Env {
        /// Its name.
        name: String,
    },
    /// A file that only the server can read, at start: `/secrets/<name>` in a pod.
    File {
        /// Its name, without directories.
        name: String,
    },
    /// Wherever an argument says `${user_config.<key>}`, at start. Not for secrets: process lists show arguments.
    Argument,
    /// A header of every call, for servers that are spoken to by HTTP.
    Header {
        /// Its name.
        name: String,
        /// What stands before the value, such as `Bearer `.
        prefix: String,
    },
}

impl ServerSpec {
    /// A server that is `program` run with `args`, spoken to by stdio.
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

    /// A server that runs elsewhere.
    pub fn remote(name: impl AsRef<str>, url: impl AsRef<str>) -> Result<Self> {
        let url = Url::parse(url.as_ref()).map_err(|e| Error::invalid("server url", e.to_string()))?;
        Self::new(ServerName::parse(name)?, Source::Remote { url })
    }

    /// A server in a container image of one's own, spoken to by stdio.
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

    /// A server with nothing but a name and a source; all else is a public field.
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
            era: ProtocolEra::default(),
            sharing: Sharing::default(),
            server_requests: ServerRequestPolicy::default(),
            labels: Labels::default(),
            visibility: Visibility::default(),
            kubernetes: KubernetesOptions::default(),
        };
        spec.check()?;
        Ok(spec)
    }

    /// The same, with one more field.
    #[must_use]
    pub fn field(mut self, field: Field) -> Self {
        self.fields.push(field);
        self
    }

    /// Checks what types alone cannot: what stands in one part against what stands in another.
    ///
    /// Fields may be changed freely; whoever stores a spec calls this first (the orchestrator does).
    pub fn check(&self) -> Result<()> {
        self.source.check()?;
        crate::server_check::fields(self)?;
        crate::server_check::headers(&self.headers)
    }

    /// Whether a runtime of ours runs it.
    pub fn is_self_hosted(&self) -> bool {
        !matches!(self.source, Source::Remote { .. })
    }

    /// The field under `key`.
    pub fn field_named(&self, key: &FieldKey) -> Option<&Field> {
        self.fields.iter().find(|field| field.key == *key)
    }
}

impl Source {
    fn check(&self) -> Result<()> {
        match self {
            Self::Remote { url } if !matches!(url.scheme(), "http" | "https") || !url.has_host() => Err(
                Error::invalid("server url", format!("{:?} is no http or https URL", url.scheme())),
            ),
            Self::Remote { url } if !url.username().is_empty() || url.password().is_some() => Err(Error::invalid(
                "server url",
                "holds a user name or password; give it as a field with Delivery::Header instead",
            )),
            Self::Command { program, .. } if program.trim().is_empty() => {
                Err(Error::invalid("program", "is empty; name the program to run"))
            }
            Self::Image { image, .. } if image.trim().is_empty() => {
                Err(Error::invalid("image", "is empty; name the image to run"))
            }
            _ => Ok(()),
        }
    }

    /// How the server is spoken to.
    pub fn transport(&self) -> Option<&Transport> {
        match self {
            Self::Remote { .. } => None,
            Self::Command { transport, .. } | Self::Image { transport, .. } => Some(transport),
        }
    }
}

impl Field {
    /// A secret that becomes an environment variable, required.
    pub fn secret_env(key: impl AsRef<str>, name: impl Into<String>) -> Result<Self> {
        let mut field = Self::new(FieldKey::parse(key)?, Delivery::Env { name: name.into() });
        (field.secret, field.required) = (true, true);
        Ok(field)
    }

    /// A secret that becomes `Authorization: Bearer …`, required.
    pub fn bearer(key: impl AsRef<str>) -> Result<Self> {
        let delivery = Delivery::Header {
            name: "Authorization".into(),
            prefix: "Bearer ".into(),
        };
        let mut field = Self::new(FieldKey::parse(key)?, delivery);
        (field.secret, field.required) = (true, true);
        Ok(field)
    }

    /// An optional text.
    pub fn new(key: FieldKey, delivery: Delivery) -> Self {
        Self {
            key,
            title: None,
            description: None,
            kind: FieldKind::default(),
            required: false,
            secret: false,
            default: None,
            delivery,
        }
    }

    /// Checks one answer to this field.
    pub fn check_answer(&self, text: &str) -> Result<()> {
        let fits = match self.kind {
            FieldKind::Text => true,
            FieldKind::Number => text.parse::<f64>().is_ok_and(f64::is_finite),
            FieldKind::Boolean => matches!(text, "true" | "false"),
            FieldKind::Url => Url::parse(text).is_ok(),
        };
        if text.contains('\0') || !fits {
            let wanted = match self.kind {
                FieldKind::Text => "text without NUL",
                FieldKind::Number => "a number",
                FieldKind::Boolean => "true or false",
                FieldKind::Url => "an absolute URL",
            };
            return Err(Error::invalid(self.key.as_str(), format!("needs {wanted}")));
        }
        Ok(())
    }
}
