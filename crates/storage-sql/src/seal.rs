//! Sealing: authenticated encryption of secrets, bound to their key and version.
//!
//! A sealed text is one byte for the format (1), 8 bytes that name the key, 12 of nonce, then AES-256-GCM-SIV of the
//! text with its purpose as associated data. GCM-SIV, because a nonce that comes up twice then tells no more than that
//! two texts are equal, and nonces are random: no counter has to survive a restore from a backup.

use std::fmt;

use aws_lc_rs::{
    aead::{AES_256_GCM_SIV, Aad, NONCE_LEN, Nonce, RandomizedNonceKey},
    hmac, rand,
};
use portolan_core::{Error, Result, Secret};
use zeroize::Zeroizing;

/// The purpose of the probe that shows whether keys fit a database.
pub(crate) const PROBE: &str = "portolan probe v1";

const FORMAT: u8 = 1;
const ID_LEN: usize = 8;
const HEAD_LEN: usize = 1 + ID_LEN + NONCE_LEN;
const TAG_LEN: usize = 16;

/// The id of a key, derived from it with HMAC, so that no ids have to be kept.
pub(crate) type KeyId = [u8; ID_LEN];

/// The keys that seal secrets: one that seals and opens, and older ones that only open.
///
/// A key is 32 random bytes that only the host knows. Without its keys a database cannot be opened: back them up, apart from
/// the database.
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
    id: KeyId,
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

    /// Returns the id of the key that seals.
    pub(crate) fn primary_id(&self) -> KeyId {
        self.primary.id
    }

    /// Seals `text` for `purpose`.
    pub(crate) fn seal(&self, purpose: &str, text: &[u8]) -> Result<Vec<u8>, SealError> {
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

    /// Opens what was sealed for `purpose`.
    pub(crate) fn open(&self, purpose: &str, sealed: &[u8]) -> Result<Opened, SealError> {
        let (head, body) = sealed.split_at_checked(HEAD_LEN).ok_or(SealError::Changed)?;
        let (format, head) = head.split_first().ok_or(SealError::Changed)?;
        if *format != FORMAT {
            return Err(SealError::Format(*format));
        }
        let (id, nonce) = head.split_at_checked(ID_LEN).ok_or(SealError::Changed)?;
        let key = std::iter::once(&self.primary)
            .chain(&self.older)
            .find(|key| key.id == id)
            .ok_or_else(|| SealError::UnknownKey(hex(id)))?;
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

impl fmt::Debug for SealingKeys {
    /// Shows the ids of the keys only.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let older: Vec<_> = self.older.iter().map(|key| hex(&key.id)).collect();
        f.debug_struct("SealingKeys")
            .field("primary", &hex(&self.primary.id))
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
    /// The text as a secret.
    pub(crate) fn into_secret(self) -> Result<Secret, SealError> {
        let text = self.body.get(..self.len).ok_or(SealError::Changed)?;
        let text = std::str::from_utf8(text).map_err(|_| SealError::Changed)?;
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
    #[error("sealed with key {0}, which is not among the given ones: add it with SealingKeys::with_older")]
    UnknownKey(String),
    #[error("it was changed, or sealed for another place: put it again, or restore a backup")]
    Changed,
}

/// Fills `bytes` with random ones.
pub(crate) fn fill_random(bytes: &mut [u8]) -> Result<()> {
    rand::fill(bytes).map_err(|_| Error::invalid("sealing keys", SealError::Random.to_string()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
#[path = "seal/tests.rs"]
mod tests;
