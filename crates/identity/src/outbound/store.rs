//! Where tokens and clients are kept: sealed, in the credential store.

use std::{fmt::Write as _, sync::Arc};

use aws_lc_rs::digest;
use jiff::Timestamp;
use portolan_core::{
    CredentialKey, CredentialStore, Error, FieldKey, InstallName, OAuthClient, Precondition, Result, Secret,
    ServerName, UserId, Version, Versioned,
};

use super::{client::RegisteredClient, token_set::TokenSet};

/// The tokens of installs and the clients at providers, in a credential store.
///
/// A token set is under `install/<install>/.oauth`, so that it goes with the install; a client under
/// `oauth-client/<SHA-256 of the issuer>`, so that no client or token of one issuer is ever sent to another.
#[derive(Clone, Debug)]
pub struct Connections {
    store: Arc<dyn CredentialStore>,
}

/// Whether an install is connected, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConnectionState {
    /// Nobody has signed in.
    Absent,
    /// Somebody has signed in.
    Connected {
        /// Who.
        by: Option<UserId>,
        /// The issuer of the tokens.
        issuer: String,
        /// The granted scopes, as far as they are known.
        scopes: Vec<String>,
        /// When the access token ends.
        expires: Option<Timestamp>,
    },
    /// The provider no longer accepts the sign-in.
    Revoked {
        /// Why.
        reason: String,
    },
}

impl Connections {
    /// Creates connections that are kept in `store`.
    pub fn new(store: Arc<dyn CredentialStore>) -> Self {
        Self { store }
    }

    /// Returns the store.
    pub(crate) fn store(&self) -> &Arc<dyn CredentialStore> {
        &self.store
    }

    /// Returns whether `install` is connected.
    ///
    /// # Errors
    ///
    /// Those of the store.
    pub async fn state(&self, install: &InstallName) -> Result<ConnectionState> {
        Ok(match self.tokens(install).await?.map(|found| found.value) {
            None => ConnectionState::Absent,
            Some(TokenSet {
                revoked: Some(reason), ..
            }) => ConnectionState::Revoked { reason },
            Some(set) => ConnectionState::Connected {
                by: set.connected_by,
                issuer: set.issuer,
                scopes: set.scopes,
                expires: set.expires,
            },
        })
    }

    /// Returns the tokens of an install. What cannot be read, as from a later release, counts as none.
    pub(crate) async fn tokens(&self, install: &InstallName) -> Result<Option<Versioned<TokenSet>>> {
        let found = self.store.read(&token_key(install)?).await?;
        Ok(found.and_then(|found| {
            let value = TokenSet::from_secret(&found.value)?;
            Some(Versioned {
                value,
                version: found.version,
            })
        }))
    }

    /// Writes the tokens of an install.
    pub(crate) async fn put_tokens(
        &self,
        install: &InstallName,
        set: &TokenSet,
        when: Precondition,
    ) -> Result<Version> {
        self.store.put(&token_key(install)?, set.to_secret(), when).await
    }

    /// Forgets the tokens of an install.
    pub(crate) async fn remove_tokens(&self, install: &InstallName) -> Result<()> {
        self.store.remove(&token_key(install)?).await
    }

    /// Returns the client that has registered itself at `issuer`.
    pub(crate) async fn client(&self, issuer: &str) -> Result<Option<Versioned<RegisteredClient>>> {
        let found = self.store.read(&client_key(issuer)?).await?;
        Ok(found.and_then(|found| {
            let value = serde_json::from_str(found.value.reveal()).ok()?;
            Some(Versioned {
                value,
                version: found.version,
            })
        }))
    }

    /// Keeps a client that has registered itself, and returns it; or the one that another replica has kept meanwhile.
    pub(crate) async fn keep_client(
        &self,
        issuer: &str,
        client: RegisteredClient,
        replaces: Option<Version>,
    ) -> Result<RegisteredClient> {
        let secret = Secret::new(serde_json::to_string(&client).unwrap_or_default());
        // Absence is no condition: what is there may be a record that this release cannot read.
        let when = replaces.map_or(Precondition::None, Precondition::Version);
        match self.store.put(&client_key(issuer)?, secret, when).await {
            Err(Error::Conflict { .. }) => Ok(self.client(issuer).await?.map_or(client, |found| found.value)),
            Err(error) => Err(error),
            Ok(_) => Ok(client),
        }
    }

    /// Forgets the client at `issuer` if it is still `client_id`, so that the next sign-in registers anew.
    pub(crate) async fn drop_client(&self, issuer: &str, client_id: &str) -> Result<()> {
        match self.client(issuer).await? {
            Some(found) if found.value.client_id == client_id => self.store.remove(&client_key(issuer)?).await,
            _ => Ok(()),
        }
    }

    /// Returns a secret of a server, such as that of a pre-registered client.
    pub(crate) async fn server_secret(&self, server: &ServerName, field: &str) -> Result<Option<Secret>> {
        let key = CredentialKey::of_server(server, &FieldKey::parse(field)?);
        Ok(self.store.read(&key).await?.map(|found| found.value))
    }

    /// Returns `client` with its secret: that of a pre-registered client is read anew, so that an operator can change it.
    pub(crate) async fn with_secret(&self, server: &ServerName, client: &RegisteredClient) -> Result<RegisteredClient> {
        let mut client = client.clone();
        if !client.dynamic && client.method != portolan_core::ClientAuthMethod::None {
            client.secret = self.server_secret(server, OAuthClient::SECRET).await?;
        }
        Ok(client)
    }
}

/// The key of an install's tokens. Keys of fields never begin so: a `.` in them begins two hexadecimal digits.
pub(super) fn token_key(install: &InstallName) -> Result<CredentialKey> {
    CredentialKey::parse(format!("{}.oauth", CredentialKey::prefix_of_install(install)))
}

fn client_key(issuer: &str) -> Result<CredentialKey> {
    CredentialKey::parse(format!("oauth-client/{}", sha256(issuer)))
}

/// Returns the SHA-256 of `text` in hexadecimal digits.
pub(crate) fn sha256(text: &str) -> String {
    let digest = digest::digest(&digest::SHA256, text.as_bytes());
    digest.as_ref().iter().fold(String::new(), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}
