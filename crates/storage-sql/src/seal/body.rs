//! The text of a record, sealed under a data key of its own.
//!
//! A sealed text is one byte for the format (2), 12 of nonce, then AES-256-GCM-SIV of the text with the identity of its
//! record as associated data.

use aws_lc_rs::{
    aead::{AES_256_GCM_SIV, Aad, NONCE_LEN, Nonce, RandomizedNonceKey},
    rand,
};
use portolan_core::DataKey;
use zeroize::Zeroizing;

use super::{Opened, SealError, TAG_LEN};

/// The format of a text under a data key. Format 1 is one that a sealing key sealed directly.
pub(crate) const FORMAT: u8 = 2;
const HEAD_LEN: usize = 1 + NONCE_LEN;

/// Makes a data key.
pub(crate) fn new_data_key() -> Result<DataKey, SealError> {
    let mut bytes = Zeroizing::new([0; 32]);
    rand::fill(&mut *bytes).map_err(|_| SealError::Random)?;
    Ok(DataKey::new(*bytes))
}

/// Seals `text` for the record that `identity` names.
pub(crate) fn seal(key: &DataKey, identity: &str, text: &[u8]) -> Result<Vec<u8>, SealError> {
    // With room for the tag, so that no copy of the text stays behind where the buffer would have grown.
    let mut body = Zeroizing::new(Vec::with_capacity(text.len() + TAG_LEN));
    body.extend_from_slice(text);
    let nonce = cipher(key)?
        .seal_in_place_append_tag(Aad::from(identity), &mut *body)
        .map_err(|_| SealError::Random)?;
    let mut sealed = Vec::with_capacity(HEAD_LEN + body.len());
    sealed.push(FORMAT);
    sealed.extend_from_slice(nonce.as_ref());
    sealed.extend_from_slice(&body);
    Ok(sealed)
}

/// Opens what was sealed for the record that `identity` names.
pub(crate) fn open(key: &DataKey, identity: &str, sealed: &[u8]) -> Result<Opened, SealError> {
    let (head, body) = sealed.split_at_checked(HEAD_LEN).ok_or(SealError::Changed)?;
    let (format, nonce) = head.split_first().ok_or(SealError::Changed)?;
    if *format != FORMAT {
        return Err(SealError::Format(*format));
    }
    let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| SealError::Changed)?;
    let mut body = Zeroizing::new(body.to_vec());
    let len = cipher(key)?
        .open_in_place(nonce, Aad::from(identity), &mut body)
        .map_err(|_| SealError::Changed)?
        .len();
    Ok(Opened { body, len })
}

fn cipher(key: &DataKey) -> Result<RandomizedNonceKey, SealError> {
    RandomizedNonceKey::new(&AES_256_GCM_SIV, key.reveal()).map_err(|_| SealError::Changed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(opened: Result<Opened, SealError>) -> String {
        opened.expect("opens").into_secret().expect("text").reveal().to_owned()
    }

    #[test]
    fn body_opens_for_its_record_only() {
        let key = new_data_key().expect("a key");
        let sealed = seal(&key, "a", b"s3cr3t").expect("sealed");
        assert_eq!(text(open(&key, "a", &sealed)), "s3cr3t");
        assert!(matches!(open(&key, "b", &sealed), Err(SealError::Changed)));
        let other = new_data_key().expect("a key");
        assert!(matches!(open(&other, "a", &sealed), Err(SealError::Changed)));
        assert!(!sealed.windows(6).any(|part| part == b"s3cr3t"));
    }

    #[test]
    fn changed_or_cut_body_is_refused() {
        let key = new_data_key().expect("a key");
        let sealed = seal(&key, "a", b"s3cr3t").expect("sealed");
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(open(&key, "a", &changed).is_err(), "byte {at}");
            assert!(open(&key, "a", &sealed[..at]).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn newer_format_is_named() {
        let key = new_data_key().expect("a key");
        let mut sealed = seal(&key, "a", b"x").expect("sealed");
        sealed[0] = 9;
        assert!(matches!(open(&key, "a", &sealed), Err(SealError::Format(9))));
    }
}
