//! Token keys out of a key file.

use std::path::Path;

use aws_lc_rs::{
    digest::{SHA256, digest},
    rand::{SecureRandom, SystemRandom},
};
use portolan_core::{KeyFile, Result};

use super::{TokenKeys, failed, prepare};

impl TokenKeys {
    /// Reads the keys in the file at `path`, or makes a file with a new one where there is none, so that sessions and
    /// cursors outlive this process.
    ///
    /// The file has one key on a line, as 64 hexadecimal digits. The first seals; those below it open what they sealed
    /// while they were first. Empty lines and lines that begin with `#` are left out. It is made for its owner alone
    /// (mode 0600), and one that others can read or write is refused. Of several processes that start at once, all get
    /// the key of one.
    ///
    /// This waits for the disk; call it when the host starts.
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
    /// [`Error::Invalid`](portolan_core::Error::Invalid) if the file cannot be read or made, is open to others, or holds
    /// something other than 1 to 16 keys.
    pub fn load_or_create(path: impl AsRef<Path>) -> Result<Self> {
        let file = KeyFile::load_or_create(path, |bytes| SystemRandom::new().fill(bytes).map_err(failed))?;
        let keys = file.keys().map(|key| Ok((id(key), prepare(key)?)));
        Ok(Self {
            keys: keys.collect::<Result<_>>()?,
        })
    }
}

/// The id of a key: made from it, so that it stays when the key moves down in its file. Two keys may have the same.
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
    fn tokens_survive_a_restart_and_a_new_key() {
        let directory = std::env::temp_dir().join(format!("portolan-token-keys-test-{}", std::process::id()));
        std::fs::create_dir_all(&directory).expect("a directory");
        let path = directory.join("keys");
        let token = TokenKeys::load_or_create(&path)
            .and_then(|keys| keys.seal(Purpose::Session, b"x"))
            .expect("sealed");
        let again = TokenKeys::load_or_create(&path).expect("loaded");
        assert_eq!(again.open(Purpose::Session, &token).as_deref(), Some(b"x".as_slice()));
        let old = std::fs::read_to_string(&path).expect("read");
        // Enough new keys that ids of two are the same more often than not.
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
