//! Sealed tokens: what a client is given to bring back, which it can neither read nor make.
//!
//! A sealed token is `base64url(key id ‖ nonce ‖ ciphertext ‖ tag)` under AES-256-GCM-SIV (RFC 8452), with the purpose as
//! associated data: a cursor is never taken for a session. Any replica that has the keys opens it; nothing is looked up.

mod key_file;

use std::fmt;

use aws_lc_rs::{
    aead::{AES_256_GCM_SIV, Aad, Nonce, RandomizedNonceKey},
    error::Unspecified,
    rand::{SecureRandom, SystemRandom},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use portolan_core::{Error, Result};

const NONCE_LEN: usize = 12;

/// What a token is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A legacy session id.
    Session,
    /// A place in a list.
    Cursor,
    /// The id of a task.
    Task,
    /// The id of a server's question to a client.
    ServerRequest,
    /// A `requestState`: a call that waits for its client's answers.
    State,
    /// The ids of the events of a stream.
    Stream,
}

impl Purpose {
    /// The longest token that is looked at.
    pub(crate) fn max_len(self) -> usize {
        match self {
            // Headers share 8 KiB in many proxies.
            Self::Session | Self::Task | Self::ServerRequest | Self::Stream => 2048,
            // A URI may be the place in a list.
            Self::Cursor => 8192,
            // It carries what a server gave, and travels in bodies.
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

/// The keys that tokens are sealed with: the first seals, all open.
///
/// All replicas of a gateway must have the same. To rotate: add the new key as an older one everywhere, then make it the
/// first everywhere, then drop the old one when its tokens have ended.
pub struct TokenKeys {
    keys: Vec<(u8, RandomizedNonceKey)>,
}

impl TokenKeys {
    /// A random key: tokens end with this process.
    pub fn random() -> Result<Self> {
        let mut key = [0; 32];
        SystemRandom::new().fill(&mut key).map_err(failed)?;
        Self::new(0, &key)
    }

    /// A given key. Key ids tell keys apart; each stands for one key, for ever.
    pub fn new(id: u8, key: &[u8; 32]) -> Result<Self> {
        Ok(Self {
            keys: vec![(id, prepare(key)?)],
        })
    }

    /// The same, with a key that opens and does not seal.
    pub fn with_older(mut self, id: u8, key: &[u8; 32]) -> Result<Self> {
        if self.keys.iter().any(|(known, _)| *known == id) {
            return Err(Error::invalid("token keys", format!("key id {id} is given twice")));
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

    /// The payload of a token that these keys sealed for this purpose; nothing else is told.
    pub(crate) fn open(&self, purpose: Purpose, token: &str) -> Option<Vec<u8>> {
        if token.len() > purpose.max_len() {
            return None;
        }
        let token = URL_SAFE_NO_PAD.decode(token).ok()?;
        let (id, rest) = token.split_first()?;
        let (nonce, sealed) = rest.split_at_checked(NONCE_LEN)?;
        // Keys of a file may share an id; which of them it was is found by trying.
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
    fn what_is_sealed_opens_for_its_purpose_only() {
        let keys = TokenKeys::random().expect("keys");
        let token = keys.seal(Purpose::Session, b"payload").expect("sealed");
        assert_eq!(
            keys.open(Purpose::Session, &token).as_deref(),
            Some(b"payload".as_slice())
        );
        assert_eq!(keys.open(Purpose::Cursor, &token), None);
    }

    #[test]
    fn a_changed_token_never_opens() {
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
        for odd in ["", "A", "!!!", &"A".repeat(9000)] {
            assert_eq!(keys.open(Purpose::Cursor, odd), None);
        }
    }

    #[test]
    fn tokens_of_an_older_key_still_open() {
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
