//! Backup of a whole installation: one sealed, versioned file, written and read as a stream.

mod content;
mod error;
mod export;
mod import;
mod key;
mod rows;
mod stream;

pub use content::BackupSummary;
pub use key::BackupKey;
pub(crate) use rows::{BackupRows, Filling, ImportedRecord, RECORDS, SECRETS, Snapshot, TOOL_SETS, ToolSetRow};
