//! The keys that wrap data keys: a key file, a key management service, a vault.

use std::fmt::{self, Debug};

use async_trait::async_trait;
use secrecy::zeroize::Zeroizing;
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// The name of one version of a provider's key: 1 to 256 printable ASCII characters without spaces.
///
/// A replaced key has another id than the one that replaces it: `vault:portolan:3`, an ARN, a fingerprint.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KeyId(Box<str>);

impl KeyId {
    /// The most bytes of an id.
    pub const MAX_LEN: usize = 256;

    /// Parses an id.
    ///
    /// ```
    /// use portolan_core::KeyId;
    ///
    /// assert_eq!(KeyId::parse("vault:portolan:3")?.as_str(), "vault:portolan:3");
    /// assert!(KeyId::parse("two words").is_err());
    /// # Ok::<(), portolan_core::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] if `id` is empty, too long, or has other characters.
    pub fn parse(id: impl Into<String>) -> Result<Self> {
        let id = id.into();
        if (1..=Self::MAX_LEN).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Ok(Self(id.into()));
        }
        Err(Error::invalid(
            "key id",
            "needs 1 to 256 printable ASCII characters without spaces",
        ))
    }

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for KeyId {
    type Error = Error;
    fn try_from(id: String) -> Result<Self> {
        Self::parse(id)
    }
}

impl From<KeyId> for String {
    fn from(id: KeyId) -> Self {
        id.0.into()
    }
}

/// A key of 32 bytes that encrypts one record. `Debug` shows no part of it, and its memory is zeroed when it is dropped.
///
/// ```
/// let key = portolan_core::DataKey::new([7; 32]);
/// assert_eq!(format!("{key:?}"), "DataKey(…)");
/// ```
#[derive(Clone)]
pub struct DataKey(Zeroizing<[u8; 32]>);

impl DataKey {
    /// Takes 32 bytes from a cryptographic source of randomness.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// Reads the key in `bytes`; `None` if they are not 32.
    ///
    /// ```
    /// assert!(portolan_core::DataKey::from_slice(&[7; 31]).is_none());
    /// ```
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        let mut key = Zeroizing::new([0; 32]);
        if bytes.len() != key.len() {
            return None;
        }
        key.copy_from_slice(bytes);
        Some(Self(key))
    }

    /// Returns the bytes. Review each call of this.
    pub fn reveal(&self) -> &[u8; 32] {
        &self.0
    }
}

impl Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DataKey(…)")
    }
}

impl PartialEq for DataKey {
    /// Compares in constant time.
    fn eq(&self, other: &Self) -> bool {
        let pairs = self.0.iter().zip(other.0.iter());
        pairs.fold(0, |seen, (one, two)| seen | (one ^ two)) == 0
    }
}

impl Eq for DataKey {}

/// A wrapped data key, as it is stored beside what it encrypts. It is no secret without the key that wrapped it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct WrappedKey {
    /// The version of the provider's key that wrapped it.
    pub key: KeyId,
    /// The wrapped key, at most [`WrappedKey::MAX_LEN`] bytes. Only the provider knows their form.
    pub bytes: Vec<u8>,
}

impl WrappedKey {
    /// The most bytes of a wrapped key.
    pub const MAX_LEN: usize = 8 << 10;
}

/// Wraps data keys with a key that never leaves it, or that only the host knows, in versions (envelope encryption).
///
/// A store encrypts each record with a data key of its own and keeps the wrapped data key beside it. To replace the
/// provider's key, only the wrapped data keys are written again. A provider can be bytes in memory, a file, a Kubernetes
/// Secret, a vault, or a cloud's key management service.
///
/// # Contract
///
/// - `unwrap` gives the data key that `wrap` was given, for the same `context`, as long as the provider has the version
///   of the key. With another context or changed bytes it is [`Error::Invalid`], and so is a version that the provider
///   does not have. It never gives another data key.
/// - `wrap` uses the current version of the key. `current` names it. A `wrap` that begins after `current` returned uses
///   that version or a later one.
/// - A version that was replaced still unwraps until whoever runs the provider takes it away.
/// - A provider that cannot be reached, or refuses for now, is [`Error::Unavailable`]; the same call may succeed later.
/// - A dropped call changes nothing.
/// - `context` is at most 1 KiB of text. It names the record and is not secret: a service may write it to its log.
/// - No error, log line or `Debug` shows a data key or the provider's key.
///
/// `current` is asked before many writes, so a remote provider answers it from memory and looks for a new version now and
/// then. Stores keep unwrapped data keys in memory for a while, so not each read asks the provider.
///
/// ```
/// use portolan_core::{DataKey, KeyProvider, memory::MemoryKeys};
///
/// # tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(async {
/// let (keys, data_key) = (MemoryKeys::new(), DataKey::new([7; 32]));
/// let wrapped = keys.wrap(&data_key, "secret github/token").await?;
/// keys.rotate();
/// assert_eq!(keys.unwrap(&wrapped, "secret github/token").await?, data_key);
/// assert!(keys.unwrap(&wrapped, "secret github/other").await.is_err());
/// assert_ne!(keys.current().await?, wrapped.key);
/// # Ok::<(), portolan_core::Error>(())
/// # }).expect("unwrapped");
/// ```
#[async_trait]
pub trait KeyProvider: Debug + Send + Sync {
    /// Returns the id of the version that wraps now.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] if the provider does not answer.
    async fn current(&self) -> Result<KeyId>;

    /// Wraps a data key with the current version, bound to `context`.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] if the provider does not answer.
    async fn wrap(&self, data_key: &DataKey, context: &str) -> Result<WrappedKey>;

    /// Unwraps a data key that was wrapped for `context`.
    ///
    /// # Errors
    ///
    /// - [`Error::Invalid`] if the provider does not have the version, or the bytes were changed or wrapped for another
    ///   context. The message says which, as far as the provider can tell, and what to do.
    /// - [`Error::Unavailable`] if the provider does not answer.
    async fn unwrap(&self, wrapped: &WrappedKey, context: &str) -> Result<DataKey>;
}
