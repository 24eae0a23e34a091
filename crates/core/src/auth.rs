//! Inbound authentication: from request to caller.

use std::{fmt::Debug, sync::Arc};

use async_trait::async_trait;
use http::{HeaderMap, header, request::Parts};

use crate::{AuthError, Caller, Challenge, GatewayName};

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

/// Returns the token of the header `Authorization: Bearer …` (RFC 6750 2.1); `None` without such a header, or with one of
/// another scheme.
///
/// ```
/// use http::{HeaderMap, HeaderValue, header};
/// use portolan_core::bearer_token;
///
/// let headers = HeaderMap::from_iter([(header::AUTHORIZATION, HeaderValue::from_static("bearer abc"))]);
/// assert_eq!(bearer_token(&headers).expect("one header"), Some("abc"));
/// ```
///
/// # Errors
///
/// [`AuthError::Invalid`] if the header is there more than once, or is not visible ASCII.
pub fn bearer_token(headers: &HeaderMap) -> Result<Option<&str>, AuthError> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(AuthError::Invalid);
    }
    let text = value.to_str().map_err(|_| AuthError::Invalid)?;
    let Some((scheme, token)) = text.split_once(' ') else {
        return Ok(None);
    };
    Ok(scheme.eq_ignore_ascii_case("bearer").then(|| token.trim()))
}
