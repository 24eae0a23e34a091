//! Installs: servers connected for one owner.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{CredentialKey, Failure, FieldKey, InstallName, OmittedDefinition, Owner, Secret, ServerName, ToolSet};

/// An install: a server connected for one owner. It holds the answers and the keys of the secrets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Install {
    /// The name.
    pub name: InstallName,
    /// The server.
    pub server: ServerName,
    /// The owner.
    pub owner: Owner,
    /// The answers to fields that are no secrets.
    pub answers: BTreeMap<FieldKey, String>,
    /// The keys of the secret answers in the credential store.
    pub secrets: BTreeMap<FieldKey, CredentialKey>,
    /// The state.
    pub state: InstallState,
    /// The tools that the server listed when it was last asked. Installs with equal tools can share them.
    pub tools: ToolSet,
    /// The tools that it listed besides, and that were left out.
    #[serde(default)]
    pub omitted: Vec<OmittedDefinition>,
    /// The time of its creation.
    pub created: Timestamp,
    /// The time of its last change.
    pub updated: Timestamp,
}

/// The state of an installation, as it is recorded.
///
/// Whether the server can be called now is told by
/// [`Orchestrator::status`](crate::orchestrator::Orchestrator::status).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
#[non_exhaustive]
pub enum InstallState {
    /// The name is reserved and nothing else is written yet: the first of the two steps that make one install of two
    /// racing requests. See [`orchestrator`](crate::orchestrator).
    Reserved,
    /// Recorded and not ready yet. Installing again continues from here.
    Pending,
    /// The tools are known, and it may be called.
    Ready,
    /// It did not become ready. Installing again retries.
    Failed {
        /// The failure.
        failure: Failure,
    },
    /// It was deleted: nothing serves or runs it, and its answers and secrets are kept until it is restored, or removed when
    /// its retention ends.
    Deleted {
        /// The time of its deletion.
        at: Timestamp,
        /// `true` if it was deleted together with its server, and is restored with it.
        with_server: bool,
    },
    /// It is being removed. Removing again continues from here.
    Removing,
}

impl Install {
    /// Creates a pending install of `server` for `owner`.
    ///
    /// ```
    /// use portolan_core::{Clock, Install, InstallName, Owner, ServerName, SystemClock};
    ///
    /// let name = InstallName::new(&SystemClock);
    /// let install = Install::new(name, ServerName::parse("github")?, Owner::Org, SystemClock.now());
    /// assert_eq!(install.title(), "\"github\" for the organisation");
    /// assert!(!install.is_ready());
    /// # Ok::<(), portolan_core::Error>(())
    /// ```
    pub fn new(name: InstallName, server: ServerName, owner: Owner, now: Timestamp) -> Self {
        Self {
            name,
            server,
            owner,
            answers: BTreeMap::new(),
            secrets: BTreeMap::new(),
            state: InstallState::Pending,
            tools: ToolSet::default(),
            omitted: Vec::new(),
            created: now,
            updated: now,
        }
    }

    /// Returns a title for people: `"github" for team "web"`.
    pub fn title(&self) -> String {
        format!("{:?} for {}", self.server.as_str(), self.owner)
    }

    /// Returns `true` if it was deleted and can be restored.
    pub fn is_deleted(&self) -> bool {
        matches!(self.state, InstallState::Deleted { .. })
    }

    /// Returns `true` if the tools are known and it may be called.
    pub fn is_ready(&self) -> bool {
        self.state == InstallState::Ready
    }
}

/// The answers to the fields of a server, given at install.
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
    /// Creates an empty set of answers.
    ///
    /// ```
    /// assert!(portolan_core::Answers::new().plain().is_empty());
    /// ```
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the answer to a field that is no secret.
    #[must_use]
    pub fn set(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.plain.insert(key.into(), value.into());
        self
    }

    /// Sets the answer to a secret field.
    #[must_use]
    pub fn secret(mut self, key: impl Into<String>, value: impl Into<Secret>) -> Self {
        self.secret.insert(key.into(), value.into());
        self
    }

    /// Returns the answers that are no secrets.
    pub fn plain(&self) -> &BTreeMap<String, String> {
        &self.plain
    }

    /// Returns the secret answers.
    pub fn secrets(&self) -> &BTreeMap<String, Secret> {
        &self.secret
    }
}
