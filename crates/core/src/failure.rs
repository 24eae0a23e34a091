//! The failures of servers, in types: the same for every runtime.

use std::{fmt, time::Duration};

use serde::{Deserialize, Deserializer, Serialize};
use url::Url;

/// The reason why a deployment does not run, or a server does not answer.
///
/// `Display` is one line; [`Failure::detail`] has the lines below it (objects, events, last log lines).
///
/// ```
/// use portolan_core::{Failure, FailureAction, FailureKind};
///
/// let url = "https://portal.example.com/connect/github".parse().expect("a URL");
/// let failure = Failure::new(FailureKind::Credential, "no account is connected")
///     .remedy("connect an account")
///     .action(FailureAction::Connect { url });
/// assert!(!failure.is_retryable());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Failure {
    /// The kind of failure.
    #[serde(rename = "cause")]
    pub kind: FailureKind,
    /// The message: lowercase, one line, no secrets.
    pub message: String,
    /// The remedy, as one sentence, where it is known.
    pub remedy: Option<Box<str>>,
    /// More lines for a person: where it happened, the last log lines of the server.
    pub detail: Vec<String>,
    /// The page on which a person can act, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "known_action")]
    pub action: Option<Box<FailureAction>>,
}

/// The kinds of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FailureKind {
    /// The program or image is not available: not installed, no such tag, no access to the registry.
    Image,
    /// The program could not be started.
    Start,
    /// The program exits again and again.
    CrashLoop,
    /// The program exited; it is being started again.
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
    /// It needs a credential, or refuses the one that it was sent.
    Credential,
    /// It is asleep or starting.
    Starting,
    /// It was stopped or removed.
    Stopped,
}

/// An action of a person that ends a failure, on a page of the host.
///
/// `Display` is a sentence with the URL.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
#[non_exhaustive]
pub enum FailureAction {
    /// Install the server.
    Install {
        /// The page to open.
        url: Url,
    },
    /// Connect an account for the first time.
    Connect {
        /// The page to open.
        url: Url,
    },
    /// Connect an account again, because its credential was refused or has expired.
    Reauthenticate {
        /// The page to open.
        url: Url,
    },
}

/// A replica of an older release reads an action that it does not know as none, and keeps the failure.
fn known_action<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Box<FailureAction>>, D::Error> {
    let stored = Option::<serde_json::Value>::deserialize(from)?;
    Ok(stored.and_then(|value| serde_json::from_value(value).ok()))
}

impl FailureAction {
    /// Returns the page to open.
    pub fn url(&self) -> &Url {
        match self {
            Self::Install { url } | Self::Connect { url } | Self::Reauthenticate { url } => url,
        }
    }
}

impl fmt::Display for FailureAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Install { url } => write!(f, "install it at {url}"),
            Self::Connect { url } => write!(f, "connect an account at {url}"),
            Self::Reauthenticate { url } => write!(f, "sign in again at {url}"),
        }
    }
}

impl Failure {
    /// Creates a failure without remedy, detail and action.
    ///
    /// ```
    /// use portolan_core::{Failure, FailureKind};
    ///
    /// let failure = Failure::new(FailureKind::Timeout, "it does not answer");
    /// assert!(failure.is_retryable() && failure.remedy.is_none());
    /// ```
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            remedy: None,
            detail: Vec::new(),
            action: None,
        }
    }

    /// Sets what to do about it.
    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<Box<str>>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    /// Adds a line of detail.
    #[must_use]
    pub fn detail(mut self, line: impl Into<String>) -> Self {
        self.detail.push(line.into());
        self
    }

    /// Sets the page on which a person can act.
    #[must_use]
    pub fn action(mut self, action: FailureAction) -> Self {
        self.action = Some(Box::new(action));
        self
    }

    /// Returns `true` if the failure may end without any change by a person.
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

/// Writes a duration as people do: `1.5 s`, `30 s`, `200 ms`.
pub(crate) fn seconds(duration: Duration) -> String {
    if duration < Duration::from_secs(1) {
        format!("{} ms", duration.as_millis())
    } else if duration.subsec_millis() == 0 {
        format!("{} s", duration.as_secs())
    } else {
        format!("{:.1} s", duration.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failure_without_action_is_read() {
        let stored = r#"{"cause":"start","message":"m","remedy":null,"detail":[]}"#;
        let failure: Failure = serde_json::from_str(stored).expect("a failure of an earlier release");
        assert_eq!(failure, Failure::new(FailureKind::Start, "m"));
        assert_eq!(serde_json::to_string(&failure).expect("JSON"), stored);
    }

    #[test]
    fn unknown_action_is_dropped() {
        let stored = r#"{"cause":"start","message":"m","remedy":null,"detail":[],"action":{"kind":"later","x":1}}"#;
        let failure: Failure = serde_json::from_str(stored).expect("a failure of a later release");
        assert_eq!(failure.action, None);
    }

    #[test]
    fn action_survives_storage() {
        let url: Url = "https://example.com/connect".parse().expect("a URL");
        let failure = Failure::new(FailureKind::Credential, "m").action(FailureAction::Connect { url });
        let stored = serde_json::to_string(&failure).expect("JSON");
        assert!(
            stored.contains(r#""action":{"kind":"connect","url":"https://example.com/connect"}"#),
            "{stored}"
        );
        assert_eq!(serde_json::from_str::<Failure>(&stored).expect("a failure"), failure);
    }
}
