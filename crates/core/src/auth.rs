//! Who calls: from request to caller.

use std::{fmt::Debug, sync::Arc};

use async_trait::async_trait;
use http::request::Parts;

use crate::{Caller, GatewayName};

/// Tells who sent a request.
///
/// Several stand in a row; the first that knows the kind of credential answers.
///
/// # Contract
///
/// - `Ok(None)`: the request has no credential of this kind; the next one is asked.
/// - `Err`: it has one, and it is no good. No other is asked, and the client gets 401 (or 403 for
///   [`AuthError::Forbidden`]).
/// - A warm answer needs no I/O.
/// - No part of a credential stands in the refusal or in a log.
#[async_trait]
pub trait Authenticator: Debug + Send + Sync {
    /// The caller who sent `request` to `gateway`.
    async fn authenticate(&self, gateway: &GatewayName, request: &Parts) -> Result<Option<Arc<Caller>>, AuthError>;

    /// What this one adds to the `WWW-Authenticate` header of a 401, such as `Bearer realm="…"`.
    fn challenge(&self, gateway: &GatewayName) -> Option<String>;
}

/// Why a credential is no good.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuthError {
    /// Unknown, malformed or revoked.
    #[error("the token is not valid")]
    Invalid,
    /// It was good once.
    #[error("the token has expired")]
    Expired,
    /// It is good, but not for this.
    #[error("the token does not open this")]
    Forbidden,
    /// Whether it is good cannot be told now.
    #[error("the token cannot be checked now")]
    Unavailable(#[source] crate::Error),
}
