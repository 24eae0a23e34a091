//! Why a provider gave no token.

use portolan_core::{Error, Failure, FailureKind};

use crate::EgressError;

/// What went wrong with a provider, by what follows from it. Messages have no secrets.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OAuthError {
    /// What the server or its provider publishes does not fit. An operator can set
    /// [`OAuthOverrides`](portolan_core::OAuthOverrides).
    #[error("{0}")]
    Discovery(String),
    /// The provider does not register the platform.
    #[error("{0}")]
    Registration(String),
    /// The provider's answer cannot be used, and will be the same again.
    #[error("{0}")]
    Unsupported(String),
    /// The provider no longer accepts the sign-in (`invalid_grant` with 400): its owner signs in again.
    #[error("the provider no longer accepts the sign-in: {0}")]
    Revoked(String),
    /// The provider does not accept the client (`invalid_client`, `unauthorized_client`). The user cannot help it: a client
    /// of dynamic registration registers anew, another one is the operator's.
    #[error("the provider does not accept this platform's client: {0}")]
    ClientRefused(String),
    /// The provider refused the request for another reason, such as `invalid_scope`.
    #[error("the provider refused with {code}: {message}")]
    Refused {
        /// The error code.
        code: String,
        /// The provider's words.
        message: String,
    },
    /// The provider fails for now: the same request may succeed later, and nobody has to sign in.
    #[error("the provider fails for now: {message}")]
    Failing {
        /// What it did.
        message: String,
        /// `true` if it may have done what was asked all the same.
        maybe_done: bool,
    },
    /// The store of the platform.
    #[error(transparent)]
    Store(#[from] Error),
}

impl OAuthError {
    pub(crate) fn failing(message: impl Into<String>) -> Self {
        Self::Failing {
            message: message.into(),
            maybe_done: false,
        }
    }

    /// Returns `true` if the same request may succeed later without anybody's help.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Failing { .. } => true,
            Self::Store(error) => error.is_retryable(),
            _ => false,
        }
    }

    /// Returns the error of a call of `server`, without an action.
    pub(crate) fn into_error(self, server: &str) -> Error {
        let failure = match self {
            Self::Store(error) => return error,
            Self::Failing { .. } => Failure::new(
                FailureKind::Connection,
                format!("its sign-in is failing for now: {self}"),
            )
            .remedy("try again later; nobody has to sign in"),
            Self::Revoked(_) => Failure::new(FailureKind::Credential, self.to_string()).remedy("sign in again"),
            other => Failure::new(FailureKind::Config, other.to_string())
                .remedy("an operator has to look at the OAuth settings of the server"),
        };
        Error::NotReady {
            what: "server",
            name: server.to_owned(),
            failure,
        }
    }
}

impl From<EgressError> for OAuthError {
    fn from(error: EgressError) -> Self {
        match error {
            // A connection may break off after the request was sent.
            EgressError::Timeout { .. } | EgressError::Connect { .. } | EgressError::TooLong { .. } => Self::Failing {
                message: error.to_string(),
                maybe_done: true,
            },
            other => Self::Discovery(other.to_string()),
        }
    }
}

/// Makes text of a provider fit for people and logs: printable, in one line, at most 200 characters, without `secrets`.
pub(crate) fn words(text: &str, secrets: &[&str]) -> String {
    let mut text = text.to_owned();
    for secret in secrets.iter().filter(|secret| secret.len() >= 4) {
        text = text.replace(secret, "…");
    }
    text.chars().filter(|c| !c.is_control()).take(200).collect()
}
