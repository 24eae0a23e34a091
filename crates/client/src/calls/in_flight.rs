//! A call that was sent and has no response yet.

use crate::{
    calls::{
        cancel_on_drop::CancelOnDrop,
        timeout::{CallTimeout, WaitError},
    },
    conversion::Conversion,
};

/// The state of a call until its response begins.
#[derive(Debug)]
pub(crate) struct InFlightCall {
    /// Converts the response for the client.
    pub(crate) conversion: Conversion,
    /// Cancels the call at the server if it is dropped.
    pub(crate) cancel_on_drop: CancelOnDrop,
    /// The deadlines.
    pub(crate) timeout: CallTimeout,
}

impl InFlightCall {
    /// Cancels the call at the server, and returns the reason.
    pub(crate) fn give_up(mut self: Box<Self>, over: WaitError) -> WaitError {
        self.cancel_on_drop
            .cancel("the response took too long or is no longer needed");
        over
    }
}
