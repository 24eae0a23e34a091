//! A call that was sent and has no response yet.

use crate::call::Reply;
use crate::call_timeout::CallTimeout;
use crate::call_timeout::WaitError;
use crate::cancel_on_drop::CancelOnDrop;
use crate::conversion::Conversion;
use crate::streamable_http::over_before_answer;
use portolan_core::Result;

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
    /// Cancels the call at the server, and returns the error or reply for the client.
    pub(crate) fn give_up(mut self: Box<Self>, over: WaitError) -> Result<Reply> {
        self.cancel_on_drop
            .cancel("the response took too long or is no longer needed");
        over_before_answer(over)
    }
}
