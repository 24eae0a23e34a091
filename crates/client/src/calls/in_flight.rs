//! A call that was sent and is not answered yet.

use crate::{
    calls::{
        cancel_on_drop::CancelOnDrop,
        timeout::{CallTimeout, WaitError},
    },
    conversion::Conversion,
};

/// What goes along with a call until its answer is there.
#[derive(Debug)]
pub(crate) struct InFlightCall {
    /// What the answer becomes for the client.
    pub(crate) conversion: Conversion,
    /// What the server is told if nobody waits any more.
    pub(crate) cancel_on_drop: CancelOnDrop,
    /// How long it is waited for.
    pub(crate) timeout: CallTimeout,
}

impl InFlightCall {
    /// Tells the server that the answer is not waited for any more; gives why.
    pub(crate) fn give_up(mut self: Box<Self>, over: WaitError) -> WaitError {
        self.cancel_on_drop
            .cancel("the answer took too long, or was not wanted any more");
        over
    }
}
