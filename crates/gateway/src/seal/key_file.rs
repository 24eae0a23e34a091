//! Token keys from a file.

use std::path::Path;

use aws_lc_rs::{
    digest::{SHA256, digest},
    rand::{SecureRandom, SystemRandom},
};
use portolan_core::{KeyFile, Result};

use super::{TokenKeys, failed, prepare};

impl TokenKeys {
    /// Reads the keys in the file at `path`, or creates the file with a random key, so that sessions and cursors
    /// outlive this process.
    ///
    /// The file has one key per line, as 64 hexadecimal digits. The first key seals; those below it open older tokens.
    /// Empty lines and lines that start with `#` are ignored. The file is created with mode 0600, and refused if
    /// others can read or write it. If several processes start at once, all get the same key.
    ///
    /// This blocks on file I/O; call it while the host starts.
    ///
    /// ```
    /// # let directory = std::env::temp_dir().join(format!("portolan-token-keys-{}", std::process::id()));
    /// # std::fs::create_dir_all(&directory).expect("a directory");
    /// let keys = portolan_gateway::TokenKeys::load_or_create(directory.join("portolan.token-keys"))?;
    /// # std::fs::remove_dir_all(&directory).expect("removed");
    /// # Ok::<(), portolan_core::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Returns [`Error::Invalid`](portolan_core::Error::Invalid) if the file cannot be read or created, is accessible
    /// to others, or does not contain 1 to 16 keys.
    pub fn load_or_create(path: impl AsRef<Path>) -> Result<Self> {
        let file = KeyFile::load_or_create(path, |bytes| SystemRandom::new().fill(bytes).map_err(failed))?;
        let keys = file.keys().map(|key| Ok((id(key), prepare(key)?)));
        Ok(Self {
            keys: keys.collect::<Result<_>>()?,
        })
    }
}

/// Returns the id of a key: derived from the key, so that it stays the same when the key moves down in its file. Two
/// keys may share an id.
fn id(key: &[u8; 32]) -> u8 {
    let mut named = b"portolan token key id 1".to_vec();
    named.extend_from_slice(key);
    digest(&SHA256, &named).as_ref()[0]
}

#[cfg(test)]
mod tests {
    use super::super::Purpose;
    use super::*;

    #[test]
    fn tokens_survive_rotation() {
        let directory = std::env::temp_dir().join(format!("portolan-token-keys-test-{}", std::process::id()));
        std::fs::create_dir_all(&directory).expect("a directory");
        let path = directory.join("keys");
        let token = TokenKeys::load_or_create(&path)
            .and_then(|keys| keys.seal(Purpose::Session, b"x"))
            .expect("sealed");
        let again = TokenKeys::load_or_create(&path).expect("loaded");
        assert_eq!(again.open(Purpose::Session, &token).as_deref(), Some(b"x".as_slice()));
        let old = std::fs::read_to_string(&path).expect("read");
        // Enough keys that two of them probably share an id.
        for new in 0..15_u8 {
            let keys: String = (0..=new)
                .rev()
                .map(|key| format!("{}\n", format!("{key:02x}").repeat(32)))
                .collect();
            std::fs::write(&path, format!("{keys}{old}")).expect("written");
            let rotated = TokenKeys::load_or_create(&path).expect("loaded");
            assert!(rotated.open(Purpose::Session, &token).is_some(), "{new}");
        }
        std::fs::remove_dir_all(&directory).expect("removed");
    }
}
