//! The end of following a server.

use std::time::Duration;

use portolan_core::Error;

/// The reason why following a server ended.
#[derive(Debug)]
pub(crate) enum FollowEnd {
    /// No listener is left.
    Unwanted,
    /// The stream has ended and may be opened again, after the wait that the server has asked for.
    Ended(Option<Duration>),
    /// The server sends no notifications outside of calls.
    Unsupported,
    /// The server cannot be followed now.
    Failed(Error),
}
