//! Sealed tokens: data that clients send back and can neither read nor forge.
//!
//! A sealed token is `base64url(key id ‖ nonce ‖ ciphertext ‖ tag)` under AES-256-GCM-SIV (RFC 8452), with the purpose
//! as associated data, so that a cursor is never accepted as a session id. Any replica with the keys can open it,
//! without stored state.

mod key_file;
mod key_store;

use std::fmt;

use aws_lc_rs::{
    aead::{AES_256_GCM_SIV, Aad, Nonce, RandomizedNonceKey},
    error::Unspecified,
    rand::{SecureRandom, SystemRandom},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use portolan_core::{Error, Result};

const NONCE_LEN: usize = 12;

/// The purpose of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A legacy session id.
    Session,
    /// A list cursor.
    Cursor,
    /// The id of a task.
    Task,
    /// The id of a server request to a legacy client.
    ServerRequest,
    /// A `requestState`: a call that waits for its client's responses.
    State,
    /// The ids of the events of a stream.
    Stream,
}

impl Purpose {
    /// Returns the maximum length of a token.
    pub(crate) fn max_len(self) -> usize {
        match self {
            // Many proxies limit all headers together to 8 KiB.
            Self::Session | Self::Task | Self::ServerRequest | Self::Stream => 2048,
            // It may contain a URI.
            Self::Cursor => 8192,
            // It contains a server's own state, and is sent in bodies only.
            Self::State => 96 * 1024,
        }
    }

    fn aad(self) -> Aad<&'static [u8]> {
        Aad::from(match self {
            Self::Session => b"portolan session 1".as_slice(),
            Self::Cursor => b"portolan cursor 1".as_slice(),
            Self::Task => b"portolan task 1".as_slice(),
            Self::ServerRequest => b"portolan question 1".as_slice(),
            Self::State => b"portolan state 1".as_slice(),
            Self::Stream => b"portolan stream 1".as_slice(),
        })
    }
}

/// The keys that seal session ids, cursors and other tokens: the first key seals, all keys open.
///
/// All replicas of a gateway must use the same keys. To rotate: add the new key as an older one on all replicas, then
/// make it the first on all, then remove the old one once its tokens have expired.
pub struct TokenKeys {
    keys: Vec<(u8, RandomizedNonceKey)>,
}

impl TokenKeys {
    /// Creates a random key. Its tokens end with this process.
    ///
    /// ```
    /// let keys = portolan_gateway::TokenKeys::random()?;
    /// # Ok::<(), portolan_core::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Returns [`Error::Backend`] if the system has no random bytes, or the cryptographic library rejects the key.
    pub fn random() -> Result<Self> {
        let mut key = [0; 32];
        SystemRandom::new().fill(&mut key).map_err(failed)?;
        Self::new(0, &key)
    }

    /// Creates keys from a 256-bit key. The id tells keys apart: never use one id for two keys.
    ///
    /// ```
    /// use portolan_gateway::TokenKeys;
    ///
    /// // Seals with key 2, and still opens tokens of key 1.
    /// let keys = TokenKeys::new(2, &[2; 32])?.with_older(1, &[1; 32])?;
    /// # Ok::<(), portolan_core::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Returns [`Error::Backend`] if the cryptographic library rejects the key.
    pub fn new(id: u8, key: &[u8; 32]) -> Result<Self> {
        Ok(Self {
            keys: vec![(id, prepare(key)?)],
        })
    }

    /// Adds a key that opens tokens, but does not seal them.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Invalid`] if the id is used already, and [`Error::Backend`] if the cryptographic library rejects
    /// the key.
    pub fn with_older(mut self, id: u8, key: &[u8; 32]) -> Result<Self> {
        if self.keys.iter().any(|(known, _)| *known == id) {
            return Err(Error::invalid(
                "token keys",
                format!("key id {id} is used twice; give each key its own id"),
            ));
        }
        self.keys.push((id, prepare(key)?));
        Ok(self)
    }

    pub(crate) fn seal(&self, purpose: Purpose, payload: &[u8]) -> Result<String> {
        let (id, key) = &self.keys[0];
        let mut sealed = payload.to_vec();
        let nonce = key
            .seal_in_place_append_tag(purpose.aad(), &mut sealed)
            .map_err(failed)?;
        let mut token = Vec::with_capacity(1 + NONCE_LEN + sealed.len());
        token.push(*id);
        token.extend_from_slice(nonce.as_ref());
        token.extend_from_slice(&sealed);
        Ok(URL_SAFE_NO_PAD.encode(token))
    }

    /// Returns the payload of a token sealed with these keys for this purpose; `None` for any other.
    pub(crate) fn open(&self, purpose: Purpose, token: &str) -> Option<Vec<u8>> {
        if token.len() > purpose.max_len() {
            return None;
        }
        let token = URL_SAFE_NO_PAD.decode(token).ok()?;
        let (id, rest) = token.split_first()?;
        let (nonce, sealed) = rest.split_at_checked(NONCE_LEN)?;
        // Keys of a file may share an id, so all with the same id are tried.
        let mut keys = self.keys.iter().filter(|(known, _)| known == id);
        keys.find_map(|(_, key)| {
            let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
            let mut payload = sealed.to_vec();
            let length = key.open_in_place(nonce, purpose.aad(), &mut payload).ok()?.len();
            payload.truncate(length);
            Some(payload)
        })
    }
}

impl fmt::Debug for TokenKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.keys.iter().map(|(id, _)| id)).finish()
    }
}

fn prepare(key: &[u8; 32]) -> Result<RandomizedNonceKey> {
    RandomizedNonceKey::new(&AES_256_GCM_SIV, key).map_err(failed)
}

fn failed(_: Unspecified) -> Error {
    Error::backend("the cryptographic library", "seal a token", "it failed")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_open_for_their_purpose() {
        let keys = TokenKeys::random().expect("keys");
        let token = keys.seal(Purpose::Session, b"payload").expect("sealed");
        assert_eq!(
            keys.open(Purpose::Session, &token).as_deref(),
            Some(b"payload".as_slice())
        );
        assert_eq!(keys.open(Purpose::Cursor, &token), None);
    }

    #[test]
    fn changed_tokens_do_not_open() {
        let keys = TokenKeys::random().expect("keys");
        let token = keys.seal(Purpose::Cursor, b"payload").expect("sealed");
        for at in 0..token.len() {
            let mut bytes = token.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(bytes).expect("ASCII");
            assert_ne!(
                keys.open(Purpose::Cursor, &changed).as_deref(),
                Some(b"payload".as_slice()),
                "{at}"
            );
        }
        for malformed in ["", "A", "!!!", &"A".repeat(9000)] {
            assert_eq!(keys.open(Purpose::Cursor, malformed), None);
        }
    }

    #[test]
    fn older_key_opens_tokens() {
        let (old, new) = ([1; 32], [2; 32]);
        let token = TokenKeys::new(1, &old)
            .expect("keys")
            .seal(Purpose::Session, b"x")
            .expect("sealed");
        let rotated = TokenKeys::new(2, &new)
            .expect("keys")
            .with_older(1, &old)
            .expect("keys");
        assert!(rotated.open(Purpose::Session, &token).is_some());
        assert!(
            TokenKeys::new(2, &new)
                .expect("keys")
                .open(Purpose::Session, &token)
                .is_none()
        );
    }
}
