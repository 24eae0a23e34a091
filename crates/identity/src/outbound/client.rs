//! The client that the platform is at a provider.

use std::fmt;

use jiff::Timestamp;
use portolan_core::{ClientAuthMethod, Secret};
use serde::{Deserialize, Serialize};

/// A client at a provider, with its secret. It is stored sealed only.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RegisteredClient {
    /// The client id.
    pub client_id: String,
    /// The secret; `None` for a public client.
    #[serde(with = "secret_text")]
    pub(crate) secret: Option<Secret>,
    /// How it authenticates.
    pub method: ClientAuthMethod,
    /// `true` if it registered itself, and can do so again.
    pub dynamic: bool,
    /// Where the provider sends the browser back to.
    pub redirect_uri: String,
    /// The scopes that it registered for, which bound what it may ask for. Empty: it named none.
    #[serde(default)]
    pub(crate) scopes: Vec<String>,
    /// When the secret ends.
    pub(crate) secret_expires: Option<Timestamp>,
}

impl RegisteredClient {
    /// Creates a client with a secret, or a public one. Without a method, a secret is sent by Basic.
    pub(crate) fn new(client_id: impl Into<String>, secret: Option<Secret>, method: Option<ClientAuthMethod>) -> Self {
        let usual = match secret {
            Some(_) => ClientAuthMethod::ClientSecretBasic,
            None => ClientAuthMethod::None,
        };
        Self {
            client_id: client_id.into(),
            secret,
            method: method.unwrap_or(usual),
            dynamic: false,
            redirect_uri: String::new(),
            scopes: Vec::new(),
            secret_expires: None,
        }
    }

    /// Returns `true` if the secret has ended at `now`.
    pub(crate) fn is_expired_at(&self, now: Timestamp) -> bool {
        self.secret_expires.is_some_and(|end| end <= now)
    }
}

impl fmt::Debug for RegisteredClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegisteredClient")
            .field("client_id", &self.client_id)
            .field("method", &self.method)
            .finish_non_exhaustive()
    }
}

/// Writes secrets as text, for values that are sealed as a whole.
pub(super) mod secret_text {
    use portolan_core::Secret;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(in crate::outbound) fn serialize<S: Serializer>(secret: &Option<Secret>, to: S) -> Result<S::Ok, S::Error> {
        secret.as_ref().map(Secret::reveal).serialize(to)
    }

    pub(in crate::outbound) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Secret>, D::Error> {
        Ok(Option::<String>::deserialize(from)?.map(Secret::from))
    }
}
