//! What can go wrong with a backup file.

use std::io;

use portolan_core::Error;

/// An error of a backup file, with what to do about it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BackupError {
    #[error("the file cannot be written: {0}")]
    Write(#[source] io::Error),
    #[error("the file cannot be read: {0}")]
    Read(#[source] io::Error),
    #[error("the file is no backup of Portolan")]
    Foreign,
    #[error("the file has the format of a newer release; import it with that release")]
    Newer,
    #[error("the file does not open with this key; give the key that it was exported with")]
    Key,
    #[error("the file ends in the middle; copy it again, or take another one")]
    Incomplete,
    #[error("the file was changed after it was exported; take another one")]
    Changed,
    #[error("{0}; take a file that this release or an older one has exported")]
    Content(String),
    #[error(transparent)]
    Store(Error),
}

impl From<BackupError> for Error {
    fn from(error: BackupError) -> Self {
        match error {
            BackupError::Store(error) => error,
            BackupError::Write(_) | BackupError::Read(_) => Self::backend("backup", "move the file", error),
            refused => Self::invalid("backup", refused.to_string()),
        }
    }
}
