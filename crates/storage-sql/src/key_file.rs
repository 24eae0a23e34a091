//! Sealing keys out of a key file.

#[cfg(feature = "sqlite")]
use std::fs::OpenOptions;
use std::path::Path;

use portolan_core::{KeyFile, Result};

use crate::seal::{SealingKeys, fill_random};

impl SealingKeys {
    /// Reads the keys in the file at `path`, or makes a file with a new one where there is none.
    ///
    /// The file has one key on a line, as 64 hexadecimal digits. The first seals; those below it open what they sealed
    /// while they were first. Empty lines and lines that begin with `#` are left out. It is made for its owner alone
    /// (mode 0600), and one that others can read or write is refused. Of several processes that start at once, all get
    /// the key of one.
    ///
    /// This waits for the disk; call it when the host starts.
    ///
    /// ```
    /// # let directory = std::env::temp_dir().join(format!("portolan-sealing-keys-{}", std::process::id()));
    /// # std::fs::create_dir_all(&directory).expect("a directory");
    /// let keys = portolan_storage_sql::SealingKeys::load_or_create(directory.join("portolan.keys"))?;
    /// # std::fs::remove_dir_all(&directory).expect("removed");
    /// # Ok::<(), portolan_core::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`](portolan_core::Error::Invalid) if the file cannot be read or made, is open to others, or holds
    /// something other than 1 to 16 keys.
    pub fn load_or_create(path: impl AsRef<Path>) -> Result<Self> {
        let file = KeyFile::load_or_create(path, fill_random)?;
        let mut keys: Option<Self> = None;
        for key in file.keys() {
            keys = Some(match keys {
                None => Self::new(key)?,
                Some(keys) => keys.with_older(key)?,
            });
        }
        // A key file has a first key.
        keys.ok_or_else(|| portolan_core::Error::invalid("key file", "holds no key"))
    }
}

/// Options to make a file that only its owner can read.
#[cfg(feature = "sqlite")]
pub(crate) fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}
