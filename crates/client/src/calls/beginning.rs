//! The beginning of a response.

use crate::{calls::timeout::WaitError, conversion::Converted};

/// The part of a response that is known after its beginning.
#[derive(Debug)]
pub(crate) enum Beginning<R> {
    /// The whole response.
    Whole(Converted),
    /// The rest is relayed as it arrives.
    Relay(R),
    /// None: the wait has ended.
    Over(WaitError),
}

impl<R> Beginning<R> {
    /// Converts the relay.
    pub(crate) fn map<S>(self, relay: impl FnOnce(R) -> S) -> Beginning<S> {
        match self {
            Self::Whole(answer) => Beginning::Whole(answer),
            Self::Relay(rest) => Beginning::Relay(relay(rest)),
            Self::Over(over) => Beginning::Over(over),
        }
    }
}
