//! Credentials: where secrets are kept, and who may read them.

use std::{fmt::Debug, time::Duration};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use std::fmt;

use crate::{Error, FieldKey, InstallName, Precondition, Result, Secret, ServerName, Version, Versioned};

/// Where a secret is kept: a path of one to six parts of `A-Z a-z 0-9 . _ -`, joined by `/`, at most 400 bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CredentialKey(Box<str>);

impl CredentialKey {
    /// Checks `path` and makes a key of it.
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

    /// Where the answer to a secret field of an install is kept.
    pub fn of_install(install: &InstallName, field: &FieldKey) -> Self {
        Self(format!("install/{install}/{}", hex(field.as_str())).into())
    }

    /// What all keys of an install begin with.
    pub fn prefix_of_install(install: &InstallName) -> String {
        format!("install/{install}/")
    }

    /// Where a secret that is stored once on a server is kept.
    pub fn of_server(server: &ServerName, field: &FieldKey) -> Self {
        Self(format!("server/{server}/{}", hex(field.as_str())).into())
    }

    /// What all keys of a server begin with.
    pub fn prefix_of_server(server: &ServerName) -> String {
        format!("server/{server}/")
    }

    /// The path.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Field keys may hold any character; in a path, other than plain ones are written as `.XX`.
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

/// Reads secrets. The gateway and the runtimes are given this and no more.
///
/// # Contract
///
/// - `read` after a `put` that returned gives that secret or a later one.
/// - A key without a secret is `None`, not an error.
/// - No secret stands in an error, a log line or a `Debug`.
#[async_trait]
pub trait CredentialReader: Debug + Send + Sync {
    /// The secret under `key`, with its version.
    async fn read(&self, key: &CredentialKey) -> Result<Option<Versioned<Secret>>>;
}

/// Keeps secrets.
///
/// # Contract
///
/// - Everything that [`CredentialReader`] promises.
/// - `put` checks its precondition and writes in one step, as [`Registry::put`](crate::Registry::put) does, and gives a
///   version that this key never had.
/// - `remove` of what is not there succeeds. Afterwards the secret is not to be had any more.
/// - `keys` gives the keys that begin with `prefix`, sorted, at most `limit`, those after `after`.
/// - `lease` gives the lease on a key to one holder at a time. It ends when it is released, or by itself after `ttl`, so
///   that a holder that dies blocks nobody for longer. A lease that is held by somebody else is `None`, not an error. Its
///   [`fence`](Lease::fence) is greater than that of every earlier lease on the same key.
/// - `release` of a lease that has ended already succeeds and frees nobody else's.
#[async_trait]
pub trait CredentialStore: CredentialReader {
    /// Writes a secret and gives its new version.
    async fn put(&self, key: &CredentialKey, secret: Secret, when: Precondition) -> Result<Version>;

    /// Removes the secret under `key`.
    async fn remove(&self, key: &CredentialKey) -> Result<()>;

    /// The keys that begin with `prefix`, sorted.
    async fn keys(&self, prefix: &str, after: Option<&CredentialKey>, limit: usize) -> Result<Vec<CredentialKey>>;

    /// Asks for the lease on a key: whoever holds it may refresh the credential under it.
    async fn lease(&self, key: &CredentialKey, ttl: Duration) -> Result<Option<Lease>>;

    /// Gives a lease back.
    async fn release(&self, lease: Lease) -> Result<()>;
}

/// The right to refresh one credential, for a while.
#[derive(Debug, PartialEq, Eq)]
pub struct Lease {
    /// The key that it is on.
    pub key: CredentialKey,
    /// Its number: greater than that of every earlier lease on this key.
    pub fence: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_a_plain_path() {
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
    fn any_field_of_an_install_has_a_key_of_its_own() {
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
