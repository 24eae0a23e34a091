//! How an answer begins.

use crate::{calls::timeout::WaitError, conversion::Converted};

/// What is known of an answer when its beginning was read.
#[derive(Debug)]
pub(crate) enum Beginning<R> {
    /// All of it.
    Whole(Converted),
    /// That the rest is relayed as it comes.
    Relay(R),
    /// Nothing: the wait for it is over.
    Over(WaitError),
}

impl<R> Beginning<R> {
    /// The same, with the relay turned into something else.
    pub(crate) fn map<S>(self, relay: impl FnOnce(R) -> S) -> Beginning<S> {
        match self {
            Self::Whole(answer) => Beginning::Whole(answer),
            Self::Relay(rest) => Beginning::Relay(relay(rest)),
            Self::Over(over) => Beginning::Over(over),
        }
    }
}
