//! The versions of a key, as a Secret has them, and what they wrap.

use std::{collections::BTreeMap, fmt};

use aws_lc_rs::{
    aead::{AES_256_GCM_SIV, Aad, NONCE_LEN, Nonce, RandomizedNonceKey},
    hmac, rand,
};
use k8s_openapi::{ByteString, api::core::v1::Secret as KubeSecret};
use portolan_core::{DataKey, Error, KeyId, Result, WrappedKey};
use zeroize::{Zeroize, Zeroizing};

use crate::name;

/// The first byte of a wrapped key.
const FORMAT: u8 = 1;
/// The most versions of a key.
const MAX_VERSIONS: usize = 64;

/// The versions of a key. `Debug` shows their ids.
pub(super) struct KeySet {
    /// By version number; the greatest wraps. There is always one.
    versions: BTreeMap<u32, KeyVersion>,
}

struct KeyVersion {
    id: KeyId,
    key: RandomizedNonceKey,
}

/// 32 random bytes for a new version.
pub(super) struct NewKey(Zeroizing<[u8; 32]>);

impl NewKey {
    /// # Errors
    ///
    /// [`Error::Backend`] if the system gives no random bytes.
    pub(super) fn random() -> Result<Self> {
        let mut bytes = Zeroizing::new([0; 32]);
        rand::fill(&mut *bytes)
            .map_err(|_| Error::backend("Kubernetes", "make a key", "the system gives no random bytes"))?;
        Ok(Self(bytes))
    }

    /// Returns whether a Secret has this key.
    pub(super) fn is_in(&self, object: &KubeSecret) -> bool {
        let mut entries = object.data.iter().flatten();
        entries.any(|(_, bytes)| aws_lc_rs::constant_time::verify_slices_are_equal(&bytes.0, &*self.0).is_ok())
    }

    /// Adds the key to a Secret as its next version, which must not be too many.
    ///
    /// # Errors
    ///
    /// [`Error::Exhausted`] beyond the most versions.
    pub(super) fn add_to(&self, object: &mut KubeSecret) -> Result<()> {
        let data = object.data.get_or_insert_default();
        if data.len() >= MAX_VERSIONS {
            return Err(Error::Exhausted {
                what: "versions of the key",
                limit: MAX_VERSIONS,
            });
        }
        let last = data.keys().filter_map(|entry| entry.parse::<u32>().ok()).max();
        let next = last.unwrap_or(0).saturating_add(1);
        data.insert(next.to_string(), ByteString(self.0.to_vec()));
        Ok(())
    }
}

/// Wipes the keys of a Secret that was read or written.
pub(super) fn wipe(mut object: KubeSecret) {
    for (_, bytes) in object.data.iter_mut().flatten() {
        bytes.0.zeroize();
    }
}

impl KeySet {
    /// Reads the entries of a Secret: a version number each, with 32 bytes or 64 hexadecimal digits.
    ///
    /// # Errors
    ///
    /// What is wrong with which entry.
    pub(super) fn read(secret: &str, object: &KubeSecret) -> Result<Self, String> {
        let entries = object.data.as_ref().filter(|data| !data.is_empty());
        let entries = entries.ok_or("it has no entry; each entry is a version: \"1\" with a key of 32 bytes")?;
        if entries.len() > MAX_VERSIONS {
            return Err(format!(
                "it has {} entries; at most {MAX_VERSIONS} are read",
                entries.len()
            ));
        }
        let mut versions = BTreeMap::new();
        for (entry, bytes) in entries {
            let is_number = !entry.starts_with('0') && entry.bytes().all(|byte| byte.is_ascii_digit());
            let number = entry.parse().ok().filter(|_| is_number);
            let number: u32 =
                number.ok_or_else(|| format!("its entry {entry:?} is no version; use \"1\", \"2\", …"))?;
            let wrong = || format!("its entry {entry:?} is not a key; a key is 32 bytes, or 64 hexadecimal digits");
            let key = key_of(&bytes.0).ok_or_else(wrong)?;
            let version = KeyVersion::derive(secret, number, &key).ok_or_else(wrong)?;
            versions.insert(number, version);
        }
        Ok(Self { versions })
    }

    /// Returns the id of the version that wraps.
    pub(super) fn current(&self) -> Result<KeyId> {
        self.wrapping().map(|version| version.id.clone())
    }

    /// Wraps a data key with the current version.
    ///
    /// # Errors
    ///
    /// [`Error::Backend`] if the system gives no random bytes.
    pub(super) fn wrap(&self, data_key: &DataKey, context: &str) -> Result<WrappedKey> {
        let version = self.wrapping()?;
        let mut body = Zeroizing::new(Vec::with_capacity(48));
        body.extend_from_slice(data_key.reveal());
        let nonce = version
            .key
            .seal_in_place_append_tag(associated(&version.id, context), &mut *body)
            .map_err(|_| Error::backend("Kubernetes", "wrap a key", "the system gives no random bytes"))?;
        let bytes = [&[FORMAT][..], nonce.as_ref(), &body].concat();
        let key = version.id.clone();
        Ok(WrappedKey { key, bytes })
    }

    /// Returns whether there is a version with this id.
    pub(super) fn has(&self, id: &KeyId) -> bool {
        self.versions.values().any(|version| version.id == *id)
    }

    /// Unwraps a data key; `None` if its version is not there, or did not wrap it for `context`.
    pub(super) fn unwrap(&self, wrapped: &WrappedKey, context: &str) -> Option<DataKey> {
        let version = self.versions.values().find(|version| version.id == wrapped.key)?;
        let (format, rest) = wrapped.bytes.split_first()?;
        let (nonce, body) = rest.split_at_checked(NONCE_LEN)?;
        if *format != FORMAT {
            return None;
        }
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut body = Zeroizing::new(body.to_vec());
        let opened = version
            .key
            .open_in_place(nonce, associated(&version.id, context), &mut body);
        DataKey::from_slice(opened.ok()?)
    }

    fn wrapping(&self) -> Result<&KeyVersion> {
        let last = self.versions.values().next_back();
        last.ok_or_else(|| Error::backend("Kubernetes", "wrap a key", "there is no key"))
    }
}

impl KeyVersion {
    /// Derives a cipher key and an id, neither of which reveals the other. The id has a digest, so that other bytes under the same
    /// number are another key.
    fn derive(secret: &str, number: u32, bytes: &[u8; 32]) -> Option<Self> {
        let root = hmac::Key::new(hmac::HMAC_SHA256, bytes);
        let digest = hmac::sign(&root, b"portolan kubernetes key id v1");
        let cipher = hmac::sign(&root, b"portolan kubernetes key v1");
        let digest = name::hex(digest.as_ref().get(..8)?);
        Some(Self {
            id: KeyId::parse(format!("{}{number}:{digest}", id_prefix(secret))).ok()?,
            key: RandomizedNonceKey::new(&AES_256_GCM_SIV, cipher.as_ref()).ok()?,
        })
    }
}

/// Returns how the ids of all versions in `secret` begin.
pub(super) fn id_prefix(secret: &str) -> String {
    format!("kube:{secret}:")
}

fn associated(id: &KeyId, context: &str) -> Aad<Vec<u8>> {
    Aad::from(format!("portolan wrapped key v1\0{id}\0{context}").into_bytes())
}

fn key_of(bytes: &[u8]) -> Option<Zeroizing<[u8; 32]>> {
    let mut key = Zeroizing::new([0; 32]);
    if bytes.len() == key.len() {
        key.copy_from_slice(bytes);
        return Some(key);
    }
    let digits = bytes.trim_ascii();
    if digits.len() != 64 {
        return None;
    }
    for (byte, pair) in key.iter_mut().zip(digits.chunks_exact(2)) {
        let digit = |at: usize| {
            char::from(pair[at])
                .to_digit(16)
                .and_then(|digit| u8::try_from(digit).ok())
        };
        *byte = (digit(0)? << 4) | digit(1)?;
    }
    Some(key)
}

impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids = self.versions.values().map(|version| version.id.as_str());
        f.debug_set().entries(ids).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(entries: &[(&str, &[u8])]) -> KubeSecret {
        let entry = |(name, bytes): &(&str, &[u8])| ((*name).to_owned(), ByteString(bytes.to_vec()));
        KubeSecret {
            data: Some(entries.iter().map(entry).collect()),
            ..KubeSecret::default()
        }
    }

    #[test]
    fn bytes_and_digits_are_one_key() {
        let digits = "0A".repeat(32) + "\n";
        let raw = KeySet::read("s", &object(&[("1", &[10; 32])])).expect("bytes");
        let hex = KeySet::read("s", &object(&[("1", digits.as_bytes())])).expect("digits");
        assert_eq!(raw.current().expect("a key"), hex.current().expect("a key"));
    }

    #[test]
    fn greatest_number_wraps() {
        let entries: [(&str, &[u8]); 3] = [("2", &[2; 32]), ("10", &[10; 32]), ("9", &[9; 32])];
        let keys = KeySet::read("s", &object(&entries)).expect("keys");
        assert!(keys.current().expect("a key").as_str().starts_with("kube:s:10:"));
    }

    #[test]
    fn other_bytes_are_another_key() {
        let id = |byte| {
            KeySet::read("s", &object(&[("1", &[byte; 32])]))
                .expect("a key")
                .current()
                .expect("a key")
        };
        assert_ne!(id(1), id(2));
    }

    #[test]
    fn wrong_entries_are_named() {
        for (entry, bytes) in [
            ("a", &[0; 32][..]),
            ("01", &[0; 32]),
            ("1", &[0; 31]),
            ("1", b"xy"),
            ("99999999999", &[0; 32]),
        ] {
            let error = KeySet::read("s", &object(&[(entry, bytes)])).expect_err("wrong");
            assert!(error.contains(&format!("{entry:?}")), "{error}");
        }
        assert!(KeySet::read("s", &object(&[])).is_err());
        let many: Vec<_> = (1..=65).map(|number| number.to_string()).collect();
        let many: Vec<(&str, &[u8])> = many.iter().map(|entry| (entry.as_str(), &[7; 32][..])).collect();
        assert!(KeySet::read("s", &object(&many)).is_err());
    }
}
