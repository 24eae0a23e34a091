//! The store of secrets.

use std::{fmt::Debug, time::Duration};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use std::fmt;

use crate::{Error, FieldKey, InstallName, Precondition, Result, Secret, ServerName, Version, Versioned};

/// The key of a secret: a path of one to six parts of `A-Z a-z 0-9 . _ -`, joined by `/`, at most 400 bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CredentialKey(Box<str>);

impl CredentialKey {
    /// Parses a path.
    ///
    /// ```
    /// use portolan_core::CredentialKey;
    ///
    /// assert_eq!(CredentialKey::parse("team/web/github")?.as_str(), "team/web/github");
    /// assert!(CredentialKey::parse("../etc").is_err());
    /// # Ok::<(), portolan_core::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] if `path` is no such path.
    pub fn parse(path: impl AsRef<str>) -> Result<Self> {
        let path = path.as_ref();
        let part_fits = |part: &str| {
            !part.is_empty()
                && part != "."
                && part != ".."
                && part
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
        };
        if path.len() <= 400 && path.split('/').count() <= 6 && path.split('/').all(part_fits) {
            return Ok(Self(path.into()));
        }
        Err(Error::invalid(
            "credential key",
            "needs one to six parts of A-Z, a-z, 0-9, '.', '_' and '-', joined by '/', in at most 400 bytes",
        ))
    }

    /// Returns the key of the answer to a secret field of an install.
    ///
    /// ```
    /// use portolan_core::{CredentialKey, FieldKey, InstallName, SystemClock};
    ///
    /// let install = InstallName::new(&SystemClock);
    /// let key = CredentialKey::of_install(&install, &FieldKey::parse("api key")?);
    /// assert_eq!(key.to_string(), format!("install/{install}/api.20key"));
    /// # Ok::<(), portolan_core::Error>(())
    /// ```
    pub fn of_install(install: &InstallName, field: &FieldKey) -> Self {
        Self(format!("install/{install}/{}", hex(field.as_str())).into())
    }

    /// Returns the prefix of all keys of an install.
    pub fn prefix_of_install(install: &InstallName) -> String {
        format!("install/{install}/")
    }

    /// Returns the key of a secret that belongs to a server and not to one install, such as an OAuth client secret.
    ///
    /// ```
    /// use portolan_core::{CredentialKey, FieldKey, ServerName};
    ///
    /// let key = CredentialKey::of_server(&ServerName::parse("github")?, &FieldKey::parse("client_secret")?);
    /// assert_eq!(key.as_str(), "server/github/client_secret");
    /// # Ok::<(), portolan_core::Error>(())
    /// ```
    pub fn of_server(server: &ServerName, field: &FieldKey) -> Self {
        Self(format!("server/{server}/{}", hex(field.as_str())).into())
    }

    /// Returns the prefix of all keys of a server.
    pub fn prefix_of_server(server: &ServerName) -> String {
        format!("server/{server}/")
    }

    /// Returns the path.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Writes a field key, which may hold any character, as part of a path: bytes other than plain ones become `.XX`.
fn hex(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!(".{byte:02x}"));
        }
        out
    })
}

impl fmt::Display for CredentialKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for CredentialKey {
    type Error = Error;
    fn try_from(path: String) -> Result<Self> {
        Self::parse(path)
    }
}

impl From<CredentialKey> for String {
    fn from(key: CredentialKey) -> Self {
        key.0.into()
    }
}

/// Reads secrets: the half of a [`CredentialStore`] that gateways and runtimes get.
///
/// # Contract
///
/// - `read` after a `put` that returned gives that secret or a later one.
/// - A key without a secret is `None`, not an error.
/// - No error, log line or `Debug` shows a secret.
///
/// For an example, see [`CredentialStore`].
#[async_trait]
pub trait CredentialReader: Debug + Send + Sync {
    /// Returns the secret under `key` with its version.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] or [`Error::Backend`] of the store.
    async fn read(&self, key: &CredentialKey) -> Result<Option<Versioned<Secret>>>;
}

/// Stores secrets.
///
/// # Contract
///
/// - The contract of [`CredentialReader`].
/// - `put` checks its precondition and writes in one step, as [`Registry::put`](crate::Registry::put) does, and gives a
///   version that this key never had.
/// - `remove` of an absent secret succeeds. Afterwards the secret cannot be read any more.
/// - `keys` gives the keys that begin with `prefix` and follow `after`, sorted, at most `limit`.
/// - `lease` gives the lease on a key to one holder at a time. It ends when it is released, or by itself `ttl` after the
///   store gave it, so that a holder that dies blocks nobody for longer. A holder counts `ttl` from before its call, so
///   that it gives up no later than the store, as far as their clocks run alike. A lease that somebody else holds is
///   `None`, not an error. Its [`fence`](Lease::fence) is greater than that of every earlier lease on the same key, also
///   after restarts of the store and after the secret was removed.
/// - A lease protects nothing by itself: `put`, `remove` and `read` ask for none, and a `put` ends none. A holder whose
///   lease has ended without its notice can still write, so what must happen once is done by compare-and-set:
///   [`RefreshGuard`](crate::RefreshGuard) shows how.
/// - `release` of a lease that has ended already succeeds and ends no other lease.
///
/// ```
/// use portolan_core::{
///     CredentialKey, CredentialReader, CredentialStore, Precondition, Secret, memory::MemoryCredentials,
/// };
///
/// # tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(async {
/// let (store, key) = (MemoryCredentials::new(), CredentialKey::parse("github/token")?);
/// store.put(&key, Secret::new("hunter2"), Precondition::Absent).await?;
/// let found = store.read(&key).await?.expect("a secret");
/// assert_eq!(found.value.reveal(), "hunter2");
/// # Ok::<(), portolan_core::Error>(())
/// # }).expect("a secret");
/// ```
#[async_trait]
pub trait CredentialStore: CredentialReader {
    /// Writes a secret and returns its new version.
    ///
    /// # Errors
    ///
    /// - [`Error::Conflict`] if the precondition does not hold.
    /// - [`Error::Unavailable`] or [`Error::Backend`] of the store.
    async fn put(&self, key: &CredentialKey, secret: Secret, when: Precondition) -> Result<Version>;

    /// Removes the secret under `key`.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] or [`Error::Backend`] of the store.
    async fn remove(&self, key: &CredentialKey) -> Result<()>;

    /// Returns the keys that begin with `prefix` and follow `after`, sorted, at most `limit`.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] or [`Error::Backend`] of the store.
    async fn keys(&self, prefix: &str, after: Option<&CredentialKey>, limit: usize) -> Result<Vec<CredentialKey>>;

    /// Takes the lease on a key for at most `ttl`: its holder refreshes the credential under it. Returns `None` while
    /// somebody else holds it.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] or [`Error::Backend`] of the store.
    async fn lease(&self, key: &CredentialKey, ttl: Duration) -> Result<Option<Lease>>;

    /// Ends a lease.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] or [`Error::Backend`] of the store.
    async fn release(&self, lease: Lease) -> Result<()>;
}

/// The right to refresh one credential for a limited time: see [`CredentialStore::lease`].
#[derive(Debug, PartialEq, Eq)]
pub struct Lease {
    /// The key of the credential.
    pub key: CredentialKey,
    /// The fencing number: greater than that of every earlier lease on this key.
    pub fence: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_is_a_plain_path() {
        for good in ["a", "A.b_c-9", "a/b/c/d/e/f", &"x".repeat(400)] {
            assert!(CredentialKey::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "/a",
            "a/",
            "a//b",
            ".",
            "..",
            "a/../b",
            "a b",
            "ä",
            "a\\b",
            "a/b/c/d/e/f/g",
            &"x".repeat(401),
        ] {
            assert!(CredentialKey::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn fields_have_distinct_keys() {
        let install = InstallName::from(uuid::Uuid::from_u128(1));
        let texts = ["a", "a b", "a/b", "..", ".", "a.b", "ä", "a.2fb", &"☕".repeat(21)];
        let keys: std::collections::BTreeSet<_> = texts
            .iter()
            .map(|text| CredentialKey::of_install(&install, &FieldKey::parse(text).expect("a field key")))
            .collect();
        assert_eq!(keys.len(), texts.len(), "no two fields share a key: {keys:?}");
        for key in keys {
            assert!(key.as_str().starts_with(&CredentialKey::prefix_of_install(&install)));
            assert_eq!(CredentialKey::parse(key.as_str()).expect("a key that fits"), key);
        }
    }

    #[test]
    fn the_longest_names_still_make_a_key() {
        let server = ServerName::parse("s".repeat(ServerName::MAX_LEN)).expect("a name");
        let field = FieldKey::parse("%".repeat(FieldKey::MAX_LEN)).expect("a field key");
        let key = CredentialKey::of_server(&server, &field);
        assert!(key.as_str().starts_with(&CredentialKey::prefix_of_server(&server)));
        assert!(CredentialKey::parse(key.as_str()).is_ok());
    }
}
