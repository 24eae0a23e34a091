//! The tokens of an install.

use std::{fmt, time::Duration};

use jiff::Timestamp;
use portolan_core::{Secret, UserId};
use serde::{Deserialize, Serialize};
use url::Url;

use super::{client::RegisteredClient, client::secret_text, token::Granted};

/// The tokens that a provider gave for an install, with all that a refresh needs. They are stored sealed only.
#[derive(Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TokenSet {
    /// The server that they are for: they are sent to no other URL.
    pub server: Url,
    /// The issuer that gave them.
    pub issuer: String,
    /// The client that they were given to. The secret of a pre-registered client is not in it.
    pub client: RegisteredClient,
    /// The token endpoint.
    pub token_endpoint: Url,
    /// Where tokens are revoked, if the provider says.
    #[serde(default)]
    pub revocation_endpoint: Option<Url>,
    /// The parameter `resource`.
    #[serde(default)]
    pub resource: Option<String>,
    /// The scopes that were granted, as far as is known.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// The scopes that the server has asked for since, beyond those: the next sign-in asks for them.
    #[serde(default)]
    pub wanted: Vec<String>,
    /// Who signed in.
    #[serde(default)]
    pub connected_by: Option<UserId>,
    /// When the access token was given.
    pub obtained: Timestamp,
    /// When the access token ends, if it is known.
    #[serde(default)]
    pub expires: Option<Timestamp>,
    /// Why nothing but a new sign-in helps, if so.
    #[serde(default)]
    pub revoked: Option<String>,
    #[serde(with = "secret_text")]
    pub(super) access_token: Option<Secret>,
    #[serde(with = "secret_text", default)]
    pub(super) refresh_token: Option<Secret>,
}

impl TokenSet {
    /// Returns the set that `granted` makes of this one. What the answer does not have stays: the refresh token, the
    /// scopes.
    pub(super) fn renewed(&self, granted: Granted, now: Timestamp) -> Self {
        let mut set = self.clone();
        set.obtained = now;
        set.expires = granted
            .expires_in
            .and_then(|lifetime| now.checked_add(Duration::from_secs(lifetime)).ok());
        set.access_token = Some(granted.access_token);
        if granted.refresh_token.is_some() {
            set.refresh_token = granted.refresh_token;
        }
        if let Some(scopes) = granted.scopes {
            set.scopes = scopes;
        }
        set.revoked = None;
        set
    }

    /// Returns the set without tokens, because only a new sign-in helps.
    pub(super) fn dead(&self, reason: impl Into<String>) -> Self {
        let mut set = self.clone();
        (set.access_token, set.refresh_token) = (None, None);
        set.revoked = Some(reason.into());
        set
    }

    /// Returns `true` if the access token has ended at `now`.
    pub fn is_expired_at(&self, now: Timestamp) -> bool {
        self.expires.is_some_and(|end| end <= now)
    }

    /// Returns `true` if it can be refreshed.
    pub fn has_refresh_token(&self) -> bool {
        self.refresh_token.is_some()
    }

    /// Returns `true` if it is time to refresh: the last fifth of the lifetime, at most 5 minutes, has begun.
    pub(super) fn is_due_at(&self, now: Timestamp) -> bool {
        let Some(end) = self.expires.filter(|_| self.has_refresh_token()) else {
            return false;
        };
        let lifetime = Duration::try_from(end.duration_since(self.obtained)).unwrap_or_default();
        let ahead = (lifetime / 5).min(Duration::from_secs(300));
        now.checked_add(ahead).is_ok_and(|then| then >= end)
    }

    /// Writes the set for the store.
    pub(super) fn to_secret(&self) -> Secret {
        // A derived implementation over texts and numbers: it does not fail.
        Secret::new(serde_json::to_string(self).unwrap_or_default())
    }

    /// Reads what [`to_secret`](Self::to_secret) has written.
    pub(super) fn from_secret(secret: &Secret) -> Option<Self> {
        serde_json::from_str(secret.reveal()).ok()
    }
}

impl fmt::Debug for TokenSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenSet")
            .field("server", &self.server.origin().ascii_serialization())
            .field("issuer", &self.issuer)
            .field("expires", &self.expires)
            .field("revoked", &self.revoked)
            .finish_non_exhaustive()
    }
}
