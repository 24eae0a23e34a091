//! Who calls: the authenticators in a row, and static bearer tokens.

mod tokens;

use std::sync::Arc;

use http::{HeaderMap, HeaderValue, StatusCode, header, request::Parts};
use portolan_core::{AuthError, Authenticator, Caller, GatewayName};

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
            // A token for another gateway is a token for another audience: as good as none (2026-07-28, authorization).
            Ok(Some(_)) => {
                refusal = Some(AuthError::Invalid);
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
    let (status, problem, code) = match &refusal {
        None => (StatusCode::UNAUTHORIZED, "authentication is required".to_owned(), None),
        Some(AuthError::Forbidden) => (
            StatusCode::FORBIDDEN,
            AuthError::Forbidden.to_string(),
            Some("insufficient_scope"),
        ),
        Some(refusal @ AuthError::Unavailable(source)) => {
            tracing::warn!(%gateway, error = %source, "an authenticator does not answer");
            (StatusCode::SERVICE_UNAVAILABLE, refusal.to_string(), None)
        }
        Some(refusal) => (StatusCode::UNAUTHORIZED, refusal.to_string(), Some("invalid_token")),
    };
    let rejection = Rejection::http(status, problem.clone());
    if status == StatusCode::SERVICE_UNAVAILABLE {
        return rejection;
    }
    let challenges = authenticators
        .iter()
        .filter_map(|authenticator| authenticator.challenge(gateway));
    let challenges = challenges.map(|challenge| match code {
        // RFC 6750 3: a request without a token is told no error code.
        Some(code) => format!("{challenge}, error=\"{code}\", error_description=\"{problem}\""),
        None => challenge,
    });
    rejection.with_challenges(challenges.filter_map(|text| HeaderValue::try_from(text).ok()).collect())
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
