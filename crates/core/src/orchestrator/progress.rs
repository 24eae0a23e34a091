//! How far an install is, for people who wait for it.

use std::fmt;

use crate::Status;

/// How far an install is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Progress {
    /// The answers are checked.
    Checking,
    /// The install is recorded.
    Recording,
    /// Its secrets are stored.
    StoringSecrets,
    /// It is on its way up.
    Starting {
        /// How the runtime says it is.
        status: Status,
    },
    /// It is asked for its tools.
    Discovering,
    /// Gateways are told.
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
