//! Inbound authentication: from request to caller.

use std::{fmt, fmt::Debug, sync::Arc};

use async_trait::async_trait;
use http::{StatusCode, request::Parts};

use crate::{Caller, Challenge, GatewayName, Scope};

/// Authenticates requests.
///
/// A gateway asks its authenticators in order:
///
/// | answer | the gateway |
/// | --- | --- |
/// | `Ok(None)` | asks the next authenticator; after the last one the request has no credential: 401 with each authenticator's [challenge](Self::challenge), without an error code |
/// | `Ok(Some(caller))` | serves the caller, or answers 403 if [`Caller::may_enter`] is `false` |
/// | `Err(error)` | asks no other authenticator and answers [`AuthError::status`]; 401 and insufficient scope carry the challenges with [`AuthError::code`] |
///
/// So an authenticator returns `Ok(None)` for a credential that another one may know, such as a bearer token of another
/// format, and the last authenticator for bearer tokens returns `Err` for a token that it does not know.
///
/// # Contract
///
/// - `Ok(None)` means that the request has no credential of this kind; `Err` means that it has one that is refused.
/// - Equal requests get equal callers until the credential changes or expires.
/// - Once a credential is known, authenticating needs no I/O.
/// - No error, log line or `Debug` shows a part of a credential.
///
/// ```
/// use std::sync::Arc;
/// use http::request::Parts;
/// use portolan_core::{AuthError, Authenticator, Caller, Challenge, GatewayName, Subject};
///
/// /// Accepts one token of the whole organisation.
/// #[derive(Debug)]
/// struct OneToken;
///
/// #[async_trait::async_trait]
/// impl Authenticator for OneToken {
///     async fn authenticate(&self, _: &GatewayName, request: &Parts) -> Result<Option<Arc<Caller>>, AuthError> {
///         match request.headers.get("authorization").map(|value| value.as_bytes()) {
///             None => Ok(None),
///             Some(b"Bearer letmein") => Ok(Some(Arc::new(Caller::new(Subject::Org, "token")))),
///             Some(_) => Err(AuthError::Invalid),
///         }
///     }
///
///     fn challenge(&self, gateway: &GatewayName) -> Option<Challenge> {
///         Some(Challenge::bearer().with_realm(gateway.as_str()))
///     }
/// }
///
/// # tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(async {
/// let gateway = GatewayName::parse("default").expect("a name");
/// let (request, ()) = http::Request::get("/mcp/default").body(()).expect("a request").into_parts();
/// assert!(OneToken.authenticate(&gateway, &request).await.expect("no error").is_none());
/// # });
/// ```
#[async_trait]
pub trait Authenticator: Debug + Send + Sync {
    /// Returns the caller who sent `request` to `gateway`, or `None` if the request has no credential of this kind.
    ///
    /// # Errors
    ///
    /// - [`AuthError::Invalid`] and [`AuthError::Expired`] for a credential that is refused.
    /// - [`AuthError::Forbidden`] and [`AuthError::InsufficientScope`] for a valid one that does not admit to `gateway`.
    /// - [`AuthError::Unavailable`] if the credential cannot be checked now.
    async fn authenticate(&self, gateway: &GatewayName, request: &Parts) -> Result<Option<Arc<Caller>>, AuthError>;

    /// Returns the challenge that this authenticator adds to the `WWW-Authenticate` header of a refusal. The gateway adds
    /// the error with [`Challenge::for_error`].
    fn challenge(&self, gateway: &GatewayName) -> Option<Challenge>;
}

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
    Unavailable(#[source] crate::Error),
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
