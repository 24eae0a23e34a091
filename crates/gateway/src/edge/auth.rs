//! Who calls: the authenticators in a row, and static bearer tokens.

mod tokens;

use std::sync::Arc;

use http::{HeaderMap, header, request::Parts};
use portolan_core::{AuthError, AuthErrorKind, Authenticator, Caller, GatewayName};

pub use self::tokens::{StaticTokens, digest};
use crate::reply::Rejection;

/// Asks each authenticator in turn. No credential, or no good one, is 401 with a challenge (RFC 9110 11.6.1).
pub(crate) async fn authenticate(
    authenticators: &[Arc<dyn Authenticator>],
    gateway: &GatewayName,
    parts: &Parts,
) -> Result<Arc<Caller>, Rejection> {
    let mut refusal = None;
    for authenticator in authenticators {
        match authenticator.authenticate(gateway, parts).await {
            Ok(None) => {}
            Ok(Some(caller)) if caller.may_enter(gateway) => return Ok(caller),
            Ok(Some(_)) => {
                refusal = Some(AuthError::Forbidden);
                break;
            }
            Err(refused) => {
                refusal = Some(refused);
                break;
            }
        }
    }
    Err(refuse(authenticators, gateway, refusal))
}

fn refuse(authenticators: &[Arc<dyn Authenticator>], gateway: &GatewayName, refusal: Option<AuthError>) -> Rejection {
    if let Some(AuthError::Unavailable(source)) = &refusal {
        tracing::warn!(%gateway, error = %source, "an authenticator does not answer");
    }
    let kind = refusal.as_ref().map_or(AuthErrorKind::Missing, AuthError::kind);
    let problem = refusal
        .as_ref()
        .map_or_else(|| "authentication is required".to_owned(), ToString::to_string);
    let rejection = Rejection::http(kind.status(), problem);
    if matches!(kind, AuthErrorKind::Unavailable | AuthErrorKind::Forbidden) {
        return rejection;
    }
    let challenges = authenticators
        .iter()
        .filter_map(|authenticator| authenticator.challenge(gateway));
    // RFC 6750 3: a request without a token is told no error code.
    let challenges = challenges.map(|challenge| match &refusal {
        Some(refusal) => challenge.for_error(refusal).header_value(),
        None => challenge.header_value(),
    });
    rejection.with_challenges(challenges.collect())
}

/// The token of an `Authorization: Bearer` header, where there is exactly one such header.
pub(crate) fn bearer(headers: &HeaderMap) -> Result<Option<&str>, AuthError> {
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
