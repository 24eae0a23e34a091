//! A program, and what it is given at its start.

use std::{collections::BTreeMap, fmt};

use portolan_core::{ProtocolEra, Secret, ServerRequestPolicy};

/// How a stdio server is started.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerCommand {
    /// The program: a full path, or a name that is looked up in the search path. No shell is involved.
    pub program: String,
    /// Its arguments, each passed on as it stands.
    pub args: Vec<String>,
    /// Environment variables, on top of what the config hands to every child.
    pub env: BTreeMap<String, ResolvedValue>,
    /// Files by name, written with mode 0600 into a private directory that `PORTOLAN_SECRETS_DIR` names.
    pub files: BTreeMap<String, ResolvedValue>,
    /// Which era it speaks.
    pub era: ProtocolEra,
    /// What a legacy server is told that it may ask in the middle of a call.
    pub server_requests: ServerRequestPolicy,
}

/// A value that a server is given at its start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResolvedValue {
    /// Plain text.
    Plain(String),
    /// A secret: taken out of the server's log lines where it shows up there.
    Secret(Secret),
}

impl ServerCommand {
    /// `program` with `args`, with nothing else.
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

    /// The same, with one more environment variable.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<ResolvedValue>) -> Self {
        self.env.insert(name.into(), value.into());
        self
    }

    /// The same, with one more file.
    #[must_use]
    pub fn file(mut self, name: impl Into<String>, content: impl Into<ResolvedValue>) -> Self {
        self.files.insert(name.into(), content.into());
        self
    }

    /// The same, speaking this era.
    #[must_use]
    pub fn era(mut self, era: ProtocolEra) -> Self {
        self.era = era;
        self
    }

    /// The same, asking this.
    #[must_use]
    pub fn server_requests(mut self, server_requests: ServerRequestPolicy) -> Self {
        self.server_requests = server_requests;
        self
    }
}

impl ResolvedValue {
    /// The text itself: handed to the child, and to nobody else.
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
