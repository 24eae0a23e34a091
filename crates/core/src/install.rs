//! An install: a server connected for one owner.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{CredentialKey, Failure, FieldKey, InstallName, Owner, Secret, ServerName, Tool};

/// A server connected for one owner. It holds the answers and names the secrets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Install {
    /// Its name.
    pub name: InstallName,
    /// The server that it was made from.
    pub server: ServerName,
    /// Whose it is.
    pub owner: Owner,
    /// The answers that are no secrets.
    pub answers: BTreeMap<FieldKey, String>,
    /// Where the secret answers are kept.
    pub secrets: BTreeMap<FieldKey, CredentialKey>,
    /// How far it is.
    pub state: InstallState,
    /// What it can do, as it said when it was last asked.
    pub tools: Vec<Tool>,
    /// When it was made.
    pub created: Timestamp,
    /// When it was last changed.
    pub updated: Timestamp,
}

/// How far an install is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
#[non_exhaustive]
pub enum InstallState {
    /// Its name is taken, and nothing else was written yet: the first of two steps that make one install of two racing
    /// ones. See `orchestrator`.
    Reserved,
    /// Recorded; not ready yet. Installing again goes on from here.
    Pending,
    /// Its tools are known.
    Ready,
    /// It could not be made ready. Installing again tries again.
    Failed {
        /// Why.
        failure: Failure,
    },
    /// It is on its way out. Removing again goes on from here.
    Removing,
}

impl Install {
    /// A new install of `server` for `owner`, pending.
    pub fn new(name: InstallName, server: ServerName, owner: Owner, now: Timestamp) -> Self {
        Self {
            name,
            server,
            owner,
            answers: BTreeMap::new(),
            secrets: BTreeMap::new(),
            state: InstallState::Pending,
            tools: Vec::new(),
            created: now,
            updated: now,
        }
    }

    /// What people call it: `"github" for team "web"`.
    pub fn title(&self) -> String {
        format!("{:?} for {}", self.server.as_str(), self.owner)
    }

    /// Whether its tools are known and it may be called.
    pub fn is_ready(&self) -> bool {
        self.state == InstallState::Ready
    }
}

/// What an installer answered.
///
/// ```
/// let answers = portolan_core::Answers::new().set("region", "eu").secret("api_key", "s3cr3t");
/// assert!(!format!("{answers:?}").contains("s3cr3t"));
/// ```
#[derive(Clone, Debug, Default)]
pub struct Answers {
    plain: BTreeMap<String, String>,
    secret: BTreeMap<String, Secret>,
}

impl Answers {
    /// No answers.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same, with an answer to a field that is no secret.
    #[must_use]
    pub fn set(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.plain.insert(key.into(), value.into());
        self
    }

    /// The same, with an answer to a secret field.
    #[must_use]
    pub fn secret(mut self, key: impl Into<String>, value: impl Into<Secret>) -> Self {
        self.secret.insert(key.into(), value.into());
        self
    }

    /// The answers that are no secrets.
    pub fn plain(&self) -> &BTreeMap<String, String> {
        &self.plain
    }

    /// The secret answers.
    pub fn secrets(&self) -> &BTreeMap<String, Secret> {
        &self.secret
    }
}
