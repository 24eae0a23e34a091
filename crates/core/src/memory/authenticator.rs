//! Bearer tokens in memory.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use http::{header::AUTHORIZATION, request::Parts};

use crate::{AuthError, Authenticator, Caller, Challenge, GatewayName, Secret};

/// An [`Authenticator`] for a fixed list of bearer tokens, for tests and examples.
///
/// It keeps the tokens themselves. Hosts use [`StaticTokens`](crate::StaticTokens), which keeps digests.
#[derive(Clone, Default)]
pub struct MemoryTokens(Vec<(Secret, Arc<Caller>)>);

impl MemoryTokens {
    /// Creates an authenticator that knows these tokens, each with its caller.
    ///
    /// ```
    /// use portolan_core::{Caller, Secret, Subject, memory::MemoryTokens};
    ///
    /// let tokens = MemoryTokens::new([(Secret::new("letmein"), Caller::new(Subject::Org, "token"))]);
    /// assert!(!format!("{tokens:?}").contains("letmein"));
    /// ```
    pub fn new(tokens: impl IntoIterator<Item = (Secret, Caller)>) -> Self {
        let tokens = tokens.into_iter().map(|(token, caller)| (token, Arc::new(caller)));
        Self(tokens.collect())
    }
}

#[async_trait]
impl Authenticator for MemoryTokens {
    async fn authenticate(&self, _: &GatewayName, request: &Parts) -> Result<Option<Arc<Caller>>, AuthError> {
        let Some(value) = request.headers.get(AUTHORIZATION) else {
            return Ok(None);
        };
        let value = value.to_str().map_err(|_| AuthError::Invalid)?;
        let Some((scheme, token)) = value.split_once(' ') else {
            return Ok(None);
        };
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Ok(None);
        }
        let token = Secret::new(token.trim());
        let known = self.0.iter().find(|(known, _)| *known == token);
        known.map(|(_, caller)| Some(caller.clone())).ok_or(AuthError::Invalid)
    }

    fn challenge(&self, gateway: &GatewayName) -> Option<Challenge> {
        Some(Challenge::bearer().with_realm(gateway.as_str()))
    }
}

impl fmt::Debug for MemoryTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryTokens").field("tokens", &self.0.len()).finish()
    }
}
