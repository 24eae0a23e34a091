//! A program, and what it is given at its start.

use std::{collections::BTreeMap, fmt};

use portolan_core::{ProtocolEra, Secret, ServerRequestPolicy};

/// How a stdio server is started.
///
/// ```
/// use portolan_process::ServerCommand;
/// use portolan_core::{ProtocolEra, Secret};
///
/// let command = ServerCommand::new("npx", ["-y", "@modelcontextprotocol/server-github"])
///     .with_env("GITHUB_TOKEN", Secret::new("ghp_example"))
///     .with_env("GITHUB_TOOLSETS", "repos,issues")
///     .with_era(ProtocolEra::Legacy);
/// assert!(!format!("{command:?}").contains("ghp_example"));
/// ```
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerCommand {
    /// The program: a full path, or a name that is looked up in the search path. No shell is involved.
    pub program: String,
    /// Its arguments, each passed on as it stands.
    pub args: Vec<String>,
    /// Environment variables, in addition to those that the config gives to every child. Default: none.
    pub env: BTreeMap<String, ResolvedValue>,
    /// Files by name, written with mode 0600 into a private directory that the variable `PORTOLAN_SECRETS_DIR` names to
    /// the child. Default: none.
    pub files: BTreeMap<String, ResolvedValue>,
    /// The protocol era that the server speaks. Default: [`ProtocolEra::Auto`], found out at its first start.
    pub era: ProtocolEra,
    /// The requests that a legacy server may send in the middle of a call. Default: elicitation alone.
    pub server_requests: ServerRequestPolicy,
}

/// A value that a server is given at its start, as its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResolvedValue {
    /// Plain text.
    Plain(String),
    /// A secret: shown by no `Debug` or error, and removed from the server's log lines where it appears in them.
    Secret(Secret),
}

impl ServerCommand {
    /// Returns a command that runs `program` with `args`, without environment variables or files of its own.
    pub fn new<A: Into<String>>(program: impl Into<String>, args: impl IntoIterator<Item = A>) -> Self {
        Self {
            program: program.into(),
            args: args.into_iter().map(Into::into).collect(),
            env: BTreeMap::new(),
            files: BTreeMap::new(),
            era: ProtocolEra::default(),
            server_requests: ServerRequestPolicy::default(),
        }
    }

    /// Adds an environment variable.
    #[must_use]
    pub fn with_env(mut self, name: impl Into<String>, value: impl Into<ResolvedValue>) -> Self {
        self.env.insert(name.into(), value.into());
        self
    }

    /// Adds a file.
    #[must_use]
    pub fn with_file(mut self, name: impl Into<String>, content: impl Into<ResolvedValue>) -> Self {
        self.files.insert(name.into(), content.into());
        self
    }

    /// Sets the era that the server speaks. Default: [`ProtocolEra::Auto`].
    #[must_use]
    pub fn with_era(mut self, era: ProtocolEra) -> Self {
        self.era = era;
        self
    }

    /// Sets the requests that a legacy server may send in the middle of a call. Default: elicitation alone.
    #[must_use]
    pub fn with_server_requests(mut self, policy: ServerRequestPolicy) -> Self {
        self.server_requests = policy;
        self
    }
}

impl ResolvedValue {
    /// Returns the text itself, for the child alone.
    pub(crate) fn reveal(&self) -> &str {
        match self {
            Self::Plain(text) => text,
            Self::Secret(secret) => secret.reveal(),
        }
    }
}

impl From<&str> for ResolvedValue {
    fn from(text: &str) -> Self {
        Self::Plain(text.into())
    }
}

impl From<String> for ResolvedValue {
    fn from(text: String) -> Self {
        Self::Plain(text)
    }
}

impl From<Secret> for ResolvedValue {
    fn from(secret: Secret) -> Self {
        Self::Secret(secret)
    }
}

impl fmt::Debug for ServerCommand {
    /// Shows the names of files alone, and no secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerCommand")
            .field("program", &self.program)
            .field("args", &self.args)
            .field("env", &self.env)
            .field("files", &self.files.keys().collect::<Vec<_>>())
            .field("era", &self.era)
            .field("server_requests", &self.server_requests)
            .finish()
    }
}
