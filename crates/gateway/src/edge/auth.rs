//! Authentication: the chain of authenticators.

use std::sync::Arc;

use http::request::Parts;
use portolan_core::{
    AuditSink, AuthError, AuthErrorKind, AuthFailed, Authenticator, Caller, Clock, GatewayName, bearer_token,
};

use crate::{reply::Rejection, routing};

/// Tries the authenticators in order.
#[derive(Debug)]
pub(crate) struct Authentication {
    authenticators: Vec<Arc<dyn Authenticator>>,
    audit: Arc<dyn AuditSink>,
    clock: Arc<dyn Clock>,
}

/// A failed authentication; without an error if the request has no credential.
#[derive(Debug)]
struct AuthRefusal {
    error: Option<AuthError>,
    /// The authenticated caller who may not use this gateway.
    caller: Option<Arc<Caller>>,
}

impl Authentication {
    pub(crate) fn new(
        authenticators: Vec<Arc<dyn Authenticator>>,
        audit: Arc<dyn AuditSink>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            authenticators,
            audit,
            clock,
        }
    }

    /// Authenticates the caller of a request. Failures are recorded in the audit log.
    pub(crate) async fn caller(
        &self,
        gateway: &GatewayName,
        parts: &Parts,
        request_id: &str,
    ) -> Result<Arc<Caller>, Rejection> {
        match self.check(gateway, parts).await {
            Ok(caller) => Ok(caller),
            Err(refusal) => {
                self.record(gateway, parts, request_id, &refusal);
                Err(self.rejection(gateway, refusal.error.as_ref()))
            }
        }
    }

    /// Returns whether the caller of an open stream could still open it. `true` if an authenticator is unavailable.
    pub(crate) async fn may_stay(&self, gateway: &GatewayName, parts: &Parts, caller: &Caller) -> bool {
        match self.check(gateway, parts).await {
            Ok(now) => now.subject == caller.subject && now.teams == caller.teams,
            Err(refusal) => matches!(refusal.error, Some(AuthError::Unavailable(_))),
        }
    }

    async fn check(&self, gateway: &GatewayName, parts: &Parts) -> Result<Arc<Caller>, AuthRefusal> {
        for authenticator in &self.authenticators {
            match authenticator.authenticate(gateway, parts).await {
                Ok(None) => {}
                Ok(Some(caller)) if caller.may_enter(gateway) => return Ok(caller),
                Ok(Some(caller)) => {
                    return Err(AuthRefusal {
                        error: Some(AuthError::Forbidden),
                        caller: Some(caller),
                    });
                }
                Err(error) => {
                    return Err(AuthRefusal {
                        error: Some(error),
                        caller: None,
                    });
                }
            }
        }
        // A token that no authenticator accepts is invalid. For a request without a token there is no error code (RFC
        // 6750 3.1).
        let error = match bearer_token(&parts.headers) {
            Ok(token) => token.map(|_| AuthError::Invalid),
            Err(error) => Some(error),
        };
        Err(AuthRefusal { error, caller: None })
    }

    /// Returns 401 with challenges (RFC 9110 11.6.1), 403 if no other credential would help, or 503 if authentication
    /// is unavailable.
    fn rejection(&self, gateway: &GatewayName, error: Option<&AuthError>) -> Rejection {
        if let Some(AuthError::Unavailable(source)) = error {
            tracing::warn!(%gateway, error = %source, "an authenticator is unavailable");
        }
        let kind = error.map_or(AuthErrorKind::Missing, AuthError::kind);
        let problem = error.map_or_else(|| "authentication is required".to_owned(), ToString::to_string);
        let rejection = Rejection::http(kind.status(), problem);
        if matches!(kind, AuthErrorKind::Unavailable | AuthErrorKind::Forbidden) {
            return rejection;
        }
        let challenges = self.authenticators.iter();
        let challenges = challenges.filter_map(|authenticator| authenticator.challenge(gateway));
        // Without a token, the challenge has no error code (RFC 6750 3).
        let challenges = challenges.map(|challenge| match error {
            Some(error) => challenge.for_error(error).header_value(),
            None => challenge.header_value(),
        });
        rejection.with_challenges(challenges.collect())
    }

    fn record(&self, gateway: &GatewayName, parts: &Parts, request_id: &str, refusal: &AuthRefusal) {
        let kind = refusal.error.as_ref().map_or(AuthErrorKind::Missing, AuthError::kind);
        let mut event = AuthFailed::new(self.clock.now(), gateway, kind).with_request_id(request_id);
        event.trace_id = routing::trace_id(&parts.headers);
        if let Some(caller) = &refusal.caller {
            event.subject = Some(&caller.subject);
            event.token_id = caller.token_id.as_deref();
        }
        self.audit.auth_failed(&event);
    }
}
