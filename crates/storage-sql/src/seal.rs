//! The host's own keys. They wrap the data keys of records, and open what earlier releases sealed with them directly.
//!
//! A wrapped data key is one byte for the format (1), 12 of nonce, then AES-256-GCM-SIV of the data key with its context
//! as associated data. A text that was sealed directly has the 8 bytes that name the key before the nonce. GCM-SIV,
//! because a nonce that comes up twice then tells no more than that two texts are equal, and nonces are random: no counter
//! has to survive a restore from a backup.

pub(crate) mod body;

use std::fmt;

use async_trait::async_trait;

use aws_lc_rs::{
    aead::{AES_256_GCM_SIV, Aad, NONCE_LEN, Nonce, RandomizedNonceKey},
    hmac, rand,
};
use portolan_core::{DataKey, Error, KeyId, KeyProvider, Result, Secret, WrappedKey};
use zeroize::Zeroizing;

use crate::hex;

/// The purpose of the probe of a key that sealed directly.
pub(crate) const PROBE: &str = "portolan probe v1";

const FORMAT: u8 = 1;
const ID_LEN: usize = 8;
const HEAD_LEN: usize = 1 + ID_LEN + NONCE_LEN;
const TAG_LEN: usize = 16;

/// Keys that the host has as bytes: the [`KeyProvider`] for hosts without a key management service.
///
/// The primary key wraps the data keys of records; older ones only unwrap. A key is 32 random bytes that only the host
/// knows. Without its keys a database cannot be opened: back them up, apart from the database.
///
/// ```
/// let old = portolan_storage_sql::SealingKeys::new(&[7; 32])?;
/// let keys = portolan_storage_sql::SealingKeys::new(&[8; 32])?.with_older(&[7; 32])?;
/// assert!(!format!("{keys:?}").contains("8, 8"));
/// # Ok::<(), portolan_core::Error>(())
/// ```
pub struct SealingKeys {
    primary: SealingKey,
    older: Vec<SealingKey>,
}

struct SealingKey {
    /// Derived from the key with HMAC, so that no ids have to be kept.
    id: [u8; ID_LEN],
    key: RandomizedNonceKey,
}

impl SealingKeys {
    /// The most keys, including the primary one.
    pub const MAX: usize = 16;

    /// Creates keys of which `primary` seals and opens.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] if the cryptographic library refuses the key.
    pub fn new(primary: &[u8; 32]) -> Result<Self> {
        Ok(Self {
            primary: SealingKey::derive(primary)?,
            older: Vec::new(),
        })
    }

    /// Adds a key that only opens.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] beyond [`MAX`](Self::MAX) keys.
    pub fn with_older(mut self, key: &[u8; 32]) -> Result<Self> {
        if self.older.len() + 1 >= Self::MAX {
            let problem = format!("are too many: at most {} fit", Self::MAX);
            return Err(Error::invalid("sealing keys", problem));
        }
        self.older.push(SealingKey::derive(key)?);
        Ok(self)
    }

    /// Creates a new random key.
    #[cfg(feature = "sqlite")]
    pub(crate) fn random() -> Result<Self> {
        let mut key = Zeroizing::new([0; 32]);
        fill_random(&mut *key)?;
        Self::new(&key)
    }

    /// Seals `text` directly for `purpose`, as releases before envelope encryption did.
    #[cfg(test)]
    fn seal(&self, purpose: &str, text: &[u8]) -> Result<Vec<u8>, SealError> {
        // With room for the tag, so that no copy of the text stays behind where the buffer would have grown.
        let mut body = Zeroizing::new(Vec::with_capacity(text.len() + TAG_LEN));
        body.extend_from_slice(text);
        let key = &self.primary;
        let nonce = key
            .key
            .seal_in_place_append_tag(Aad::from(purpose), &mut *body)
            .map_err(|_| SealError::Random)?;

        let mut sealed = Vec::with_capacity(HEAD_LEN + body.len());
        sealed.push(FORMAT);
        sealed.extend_from_slice(&key.id);
        sealed.extend_from_slice(nonce.as_ref());
        sealed.extend_from_slice(&body);
        Ok(sealed)
    }

    /// Returns the key that sealed this directly, if it is among these.
    fn with_id(&self, id: &[u8]) -> Option<&SealingKey> {
        std::iter::once(&self.primary)
            .chain(&self.older)
            .find(|key| key.id == id)
    }

    /// Opens what was sealed directly for `purpose`.
    pub(crate) fn open(&self, purpose: &str, sealed: &[u8]) -> Result<Opened, SealError> {
        let (head, body) = sealed.split_at_checked(HEAD_LEN).ok_or(SealError::Changed)?;
        let (format, head) = head.split_first().ok_or(SealError::Changed)?;
        if *format != FORMAT {
            return Err(SealError::Format(*format));
        }
        let (id, nonce) = head.split_at_checked(ID_LEN).ok_or(SealError::Changed)?;
        let key = self.with_id(id).ok_or_else(|| SealError::UnknownKey(hex::encode(id)))?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| SealError::Changed)?;
        let mut body = Zeroizing::new(body.to_vec());
        let len = key
            .key
            .open_in_place(nonce, Aad::from(purpose), &mut body)
            .map_err(|_| SealError::Changed)?
            .len();
        Ok(Opened { body, len })
    }
}

impl SealingKey {
    /// Derives a sealing key and an id from the host's bytes, neither of which reveals the other.
    fn derive(bytes: &[u8; 32]) -> Result<Self> {
        let root = hmac::Key::new(hmac::HMAC_SHA256, bytes);
        let name = hmac::sign(&root, b"portolan sealing key id v1");
        let secret = hmac::sign(&root, b"portolan sealing key v1");
        let refuse = || Error::invalid("sealing keys", "do not fit the cipher");
        let id = name.as_ref().first_chunk().copied().ok_or_else(refuse)?;
        let key = RandomizedNonceKey::new(&AES_256_GCM_SIV, secret.as_ref()).map_err(|_| refuse())?;
        Ok(Self { id, key })
    }
}

#[async_trait]
impl KeyProvider for SealingKeys {
    async fn current(&self) -> Result<KeyId> {
        KeyId::parse(hex::encode(&self.primary.id))
    }

    async fn wrap(&self, data_key: &DataKey, context: &str) -> Result<WrappedKey> {
        let mut body = Zeroizing::new(Vec::with_capacity(data_key.reveal().len() + TAG_LEN));
        body.extend_from_slice(data_key.reveal());
        let nonce = self
            .primary
            .key
            .seal_in_place_append_tag(Aad::from(wrapping(context)), &mut *body)
            .map_err(|_| Error::backend("sealing keys", "wrap a data key", SealError::Random))?;
        let mut bytes = vec![FORMAT];
        bytes.extend_from_slice(nonce.as_ref());
        bytes.extend_from_slice(&body);
        let key = self.current().await?;
        Ok(WrappedKey { key, bytes })
    }

    async fn unwrap(&self, wrapped: &WrappedKey, context: &str) -> Result<DataKey> {
        let refuse = |error: SealError| Error::invalid("wrapped key", error.to_string());
        let key = std::iter::once(&self.primary)
            .chain(&self.older)
            .find(|key| hex::encode(&key.id) == wrapped.key.as_str())
            .ok_or_else(|| refuse(SealError::UnknownKey(wrapped.key.to_string())))?;
        key.unwrap(&wrapped.bytes, context).map_err(refuse)
    }
}

impl SealingKey {
    fn unwrap(&self, bytes: &[u8], context: &str) -> Result<DataKey, SealError> {
        let (format, rest) = bytes.split_first().ok_or(SealError::Changed)?;
        if *format != FORMAT {
            return Err(SealError::Format(*format));
        }
        let (nonce, body) = rest.split_at_checked(NONCE_LEN).ok_or(SealError::Changed)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| SealError::Changed)?;
        let mut body = Zeroizing::new(body.to_vec());
        let opened = self
            .key
            .open_in_place(nonce, Aad::from(wrapping(context)), &mut body)
            .map_err(|_| SealError::Changed)?;
        DataKey::from_slice(opened).ok_or(SealError::Changed)
    }
}

/// The associated data of a wrapped key. No text was ever sealed directly with it, so neither passes for the other.
fn wrapping(context: &str) -> String {
    format!("portolan wrapped key v1\0{context}")
}

impl fmt::Debug for SealingKeys {
    /// Shows the ids of the keys only.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let older: Vec<_> = self.older.iter().map(|key| hex::encode(&key.id)).collect();
        f.debug_struct("SealingKeys")
            .field("primary", &hex::encode(&self.primary.id))
            .field("older", &older)
            .finish_non_exhaustive()
    }
}

/// An opened text, zeroed when dropped.
pub(crate) struct Opened {
    body: Zeroizing<Vec<u8>>,
    len: usize,
}

impl Opened {
    /// The text as bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.body.get(..self.len).unwrap_or_default()
    }

    /// The text as a secret.
    pub(crate) fn into_secret(self) -> Result<Secret, SealError> {
        let text = std::str::from_utf8(self.bytes()).map_err(|_| SealError::Changed)?;
        // `to_owned` allocates what is needed and no more, so that `Secret` can take it over without a copy.
        Ok(Secret::new(text.to_owned()))
    }
}

/// The reason why a text was not sealed or does not open, with the remedy.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SealError {
    #[error("the machine gives no random numbers")]
    Random,
    #[error("sealed in format {0}, which is of a newer release: use that one")]
    Format(u8),
    #[error(
        "sealed with key {0}, which is not among the given ones: add it with SealingKeys::with_older or Keyring::with_older"
    )]
    UnknownKey(String),
    #[error("sealed directly with a key of SealingKeys: give those keys too, by Keyring::with_older")]
    Direct,
    #[error("it was changed, or sealed for another place: put it again, or restore a backup")]
    Changed,
}

/// Why a record does not open.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    #[error(transparent)]
    Seal(#[from] SealError),
    /// The provider does not unwrap its data key.
    #[error(transparent)]
    Provider(#[from] Error),
}

/// Fills `bytes` with random ones.
pub(crate) fn fill_random(bytes: &mut [u8]) -> Result<()> {
    rand::fill(bytes).map_err(|_| Error::invalid("sealing keys", SealError::Random.to_string()))
}

#[cfg(test)]
#[path = "seal/tests.rs"]
mod tests;
