//! A call that was sent and is not answered yet.

use portolan_core::Result;

use super::{
    Reply,
    cancel::Unanswered,
    convert::Conversion,
    http::over_before_answer,
    patience::{Over, Patience},
};

/// What goes along with a call until its answer is there.
#[derive(Debug)]
pub(crate) struct Underway {
    /// What the answer becomes for the client.
    pub(crate) conversion: Conversion,
    /// What the server is told if nobody waits any more.
    pub(crate) unanswered: Unanswered,
    /// How long it is waited for.
    pub(crate) patience: Patience,
}

impl Underway {
    /// Tells the server that the answer is not waited for any more, and the client why.
    pub(crate) fn give_up(mut self: Box<Self>, over: Over) -> Result<Reply> {
        self.unanswered
            .cancel("the answer took too long, or was not wanted any more");
        over_before_answer(over)
    }
}
