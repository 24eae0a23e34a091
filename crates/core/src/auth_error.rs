//! Refused authentications and their reasons.

use std::fmt;

use http::StatusCode;

use crate::{Error, Scope};

/// A refused authentication.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuthError {
    /// The credential is unknown, malformed or revoked: 401.
    #[error("the token is not valid")]
    Invalid,
    /// The credential has expired: 401.
    #[error("the token has expired")]
    Expired,
    /// The credential is valid and does not admit to this gateway: 403, without a challenge, because another token of the
    /// same caller would not help.
    #[error("the caller may not use this gateway")]
    Forbidden,
    /// The credential is valid and lacks scopes: 403 with a challenge that names them (RFC 6750 3.1), so that a client
    /// asks for a token that has them.
    #[error("the token lacks a scope")]
    InsufficientScope {
        /// The scopes that the request needs, all of them, also those that the token has.
        scopes: Vec<Scope>,
    },
    /// The credential cannot be checked now: 503.
    #[error("the token cannot be checked now")]
    Unavailable(#[source] Error),
}

/// The reason of a refused authentication, without data; for records and metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AuthErrorKind {
    /// The request has no credential that an authenticator knows.
    Missing,
    /// [`AuthError::Invalid`].
    Invalid,
    /// [`AuthError::Expired`].
    Expired,
    /// [`AuthError::Forbidden`].
    Forbidden,
    /// [`AuthError::InsufficientScope`].
    InsufficientScope,
    /// [`AuthError::Unavailable`].
    Unavailable,
}

impl AuthError {
    /// Returns the kind of this error.
    pub fn kind(&self) -> AuthErrorKind {
        match self {
            Self::Invalid => AuthErrorKind::Invalid,
            Self::Expired => AuthErrorKind::Expired,
            Self::Forbidden => AuthErrorKind::Forbidden,
            Self::InsufficientScope { .. } => AuthErrorKind::InsufficientScope,
            Self::Unavailable(_) => AuthErrorKind::Unavailable,
        }
    }

    /// Returns the HTTP status that a client gets.
    pub fn status(&self) -> StatusCode {
        self.kind().status()
    }

    /// Returns the error code of the challenge (RFC 6750 3.1); `None` where the answer carries no error code.
    pub fn code(&self) -> Option<&'static str> {
        self.kind().code()
    }
}

impl AuthErrorKind {
    /// Returns the HTTP status that a client gets: 401, 403 or 503.
    pub fn status(self) -> StatusCode {
        match self {
            Self::Missing | Self::Invalid | Self::Expired => StatusCode::UNAUTHORIZED,
            Self::Forbidden | Self::InsufficientScope => StatusCode::FORBIDDEN,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// Returns the error code of the challenge (RFC 6750 3.1); `None` where the answer carries no error code.
    pub fn code(self) -> Option<&'static str> {
        match self {
            Self::Invalid | Self::Expired => Some("invalid_token"),
            Self::InsufficientScope => Some("insufficient_scope"),
            Self::Missing | Self::Forbidden | Self::Unavailable => None,
        }
    }

    /// Returns the name of this kind in records: `missing`, `invalid`, …
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Invalid => "invalid",
            Self::Expired => "expired",
            Self::Forbidden => "forbidden",
            Self::InsufficientScope => "insufficient_scope",
            Self::Unavailable => "unavailable",
        }
    }
}

impl fmt::Display for AuthErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
