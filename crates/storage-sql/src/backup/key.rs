//! The key of a backup file.

use std::fmt;

use aws_lc_rs::{
    aead::{AES_256_GCM, LessSafeKey, UnboundKey},
    hkdf::{HKDF_SHA256, Salt},
};
use portolan_core::{Error, Result, Secret};
use zeroize::Zeroizing;

use crate::seal::fill_random;

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
        let mut key = Zeroizing::new([0; 32]);
        let digits = digits.trim().as_bytes();
        if digits.len() != 64 {
            return Err(refuse());
        }
        for (byte, pair) in key.iter_mut().zip(digits.chunks_exact(2)) {
            let value = pair
                .iter()
                .try_fold(0, |sum, &digit| Some(sum * 16 + char::from(digit).to_digit(16)?));
            *byte = value.and_then(|value| u8::try_from(value).ok()).ok_or_else(refuse)?;
        }
        Ok(Self(key))
    }

    /// Returns the key as 64 hexadecimal digits.
    pub fn to_hex(&self) -> Secret {
        let mut digits = String::with_capacity(64);
        for byte in self.0.iter() {
            for digit in [byte >> 4, byte & 15] {
                digits.push(char::from_digit(digit.into(), 16).unwrap_or('0'));
            }
        }
        Secret::new(digits)
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
