//! Backup of a whole installation: one sealed, versioned file, written and read as a stream.

mod content;
mod error;
mod export;
mod import;
mod key;
mod stream;

pub use content::BackupSummary;
pub use key::BackupKey;
