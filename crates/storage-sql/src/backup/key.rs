//! The key of a backup file.

use std::fmt;

use aws_lc_rs::{
    aead::{AES_256_GCM, LessSafeKey, UnboundKey},
    hkdf::{HKDF_SHA256, Salt},
};
use portolan_core::{Error, Result, Secret};
use zeroize::Zeroizing;

use crate::{hex, seal::fill_random};

/// The key that seals a backup file: 32 bytes, kept apart from the file. Without it the file cannot be read.
///
/// ```
/// let key = portolan_storage_sql::BackupKey::generate()?;
/// let written_down = key.to_hex();
/// assert_eq!(written_down.reveal().len(), 64);
/// assert!(portolan_storage_sql::BackupKey::parse(written_down.reveal()).is_ok());
/// # Ok::<(), portolan_core::Error>(())
/// ```
pub struct BackupKey(Zeroizing<[u8; 32]>);

impl BackupKey {
    /// Creates a random key.
    ///
    /// # Errors
    ///
    /// [`Error::Backend`] if the machine has no source of randomness.
    pub fn generate() -> Result<Self> {
        let mut key = Zeroizing::new([0; 32]);
        fill_random(&mut *key)?;
        Ok(Self(key))
    }

    /// Uses these 32 bytes, which must come from a cryptographic source.
    pub fn new(key: [u8; 32]) -> Self {
        Self(Zeroizing::new(key))
    }

    /// Parses 64 hexadecimal digits.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] for anything else.
    pub fn parse(digits: &str) -> Result<Self> {
        let refuse = || Error::invalid("backup key", "is not 64 hexadecimal digits");
        let bytes = Zeroizing::new(hex::decode(digits.trim()).ok_or_else(refuse)?);
        let mut key = Zeroizing::new([0; 32]);
        if bytes.len() != key.len() {
            return Err(refuse());
        }
        key.copy_from_slice(&bytes);
        Ok(Self(key))
    }

    /// Returns the key as 64 hexadecimal digits.
    pub fn to_hex(&self) -> Secret {
        Secret::new(hex::encode(&*self.0))
    }

    /// Derives the key of one file from its salt, so that no two files share a key and a nonce.
    pub(super) fn of_file(&self, salt: &[u8; 32]) -> Option<LessSafeKey> {
        let derived = Salt::new(HKDF_SHA256, salt).extract(&*self.0);
        let derived = derived.expand(&[b"portolan backup v1"], &AES_256_GCM).ok()?;
        Some(LessSafeKey::new(UnboundKey::from(derived)))
    }
}

impl fmt::Debug for BackupKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BackupKey").finish_non_exhaustive()
    }
}
