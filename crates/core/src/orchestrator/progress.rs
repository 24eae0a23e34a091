//! The steps of an install, for people who wait for it.

use std::fmt;

use crate::Status;

/// The step that an install has reached. `Display` is a phrase for a progress line.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Progress {
    /// Checking the answers.
    Checking,
    /// Recording the install.
    Recording,
    /// Storing its secrets.
    StoringSecrets,
    /// Waiting for its server to start.
    Starting {
        /// The status that its runtime reports.
        status: Status,
    },
    /// Asking its server for the tools.
    Discovering,
    /// Publishing to the gateways.
    Publishing,
    /// Its tools can be called.
    Done,
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Checking => f.write_str("checking the answers"),
            Self::Recording => f.write_str("recording the install"),
            Self::StoringSecrets => f.write_str("storing its secrets"),
            Self::Starting { status } => write!(f, "server {status}"),
            Self::Discovering => f.write_str("asking for its tools"),
            Self::Publishing => f.write_str("telling the gateways"),
            Self::Done => f.write_str("done"),
        }
    }
}
