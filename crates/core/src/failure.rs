//! Why a server is not running, in types: the same on every runtime.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

/// Why a deployment does not run, or an upstream does not answer.
///
/// `Display` is one line; [`Failure::detail`] has the lines below it (objects, events, last log lines).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Failure {
    /// The kind of failure.
    #[serde(rename = "cause")]
    pub kind: FailureKind,
    /// What happened: lowercase, one line, no secrets.
    pub message: String,
    /// What to do about it, as one sentence, where that is known.
    pub remedy: Option<String>,
    /// More lines for a person: where it happened, the last words of the server.
    pub detail: Vec<String>,
}

/// The kinds of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FailureKind {
    /// The program or image cannot be had: not installed, no such tag, no access to the registry.
    Image,
    /// The program could not be started.
    Start,
    /// The program ends again and again.
    CrashLoop,
    /// The program ended; it is being started again.
    Exited,
    /// No machine has room for it.
    Unschedulable,
    /// A quota forbids it.
    Quota,
    /// A volume or a secret cannot be mounted.
    Mount,
    /// Its configuration is wrong: a missing secret, a value that is refused.
    Config,
    /// It runs, but does not speak MCP.
    Protocol,
    /// It does not answer in time.
    Timeout,
    /// It cannot be reached.
    Connection,
    /// It wants a credential, or refuses the one that it was sent.
    Credential,
    /// It sleeps, or is on its way up.
    Starting,
    /// It was stopped or removed.
    Stopped,
}

impl Failure {
    /// A failure without remedy and detail.
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            remedy: None,
            detail: Vec::new(),
        }
    }

    /// The same, with what to do about it.
    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    /// The same, with one more line of detail.
    #[must_use]
    pub fn detail(mut self, line: impl Into<String>) -> Self {
        self.detail.push(line.into());
        self
    }

    /// Whether waiting alone may mend it.
    pub fn is_retryable(&self) -> bool {
        matches!(
            self.kind,
            FailureKind::Exited
                | FailureKind::Timeout
                | FailureKind::Connection
                | FailureKind::Starting
                | FailureKind::Unschedulable
                | FailureKind::Quota
        )
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// A duration as people write it: `1.5 s`, `30 s`, `200 ms`.
pub(crate) fn seconds(duration: Duration) -> String {
    if duration < Duration::from_secs(1) {
        format!("{} ms", duration.as_millis())
    } else if duration.subsec_millis() == 0 {
        format!("{} s", duration.as_secs())
    } else {
        format!("{:.1} s", duration.as_secs_f64())
    }
}
