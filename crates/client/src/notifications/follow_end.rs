//! The end of following a server.

use std::time::Duration;

use portolan_core::Error;

/// Why a server is followed no longer.
#[derive(Debug)]
pub(crate) enum FollowEnd {
    /// Nobody wants to know any more.
    Unwanted,
    /// The stream is over and may be opened again, after what the server has asked for.
    Ended(Option<Duration>),
    /// It tells nothing outside of calls.
    Unsupported,
    /// It cannot be listened to now.
    Failed(Error),
}
