//! The caller's side of a call.

use std::sync::Arc;

use portolan_core::{CallHandle, ExchangeEvent, RpcResponse};
use tokio::sync::mpsc;

use super::Mailbox;

/// A call that was taken: what comes for it, and what may be said to it.
pub(crate) struct Placed {
    pub(crate) events: mpsc::Receiver<ExchangeEvent>,
    pub(crate) handle: Handle,
}

/// Names a call. Dropping it does nothing.
#[derive(Clone, Debug)]
pub(crate) struct Handle {
    mailbox: Arc<Mailbox>,
    call: u64,
}

/// Cancels a call when it is dropped, unless that was answered.
#[derive(Debug)]
pub(crate) struct Cancelling(Handle);

impl Handle {
    pub(super) fn new(mailbox: Arc<Mailbox>, call: u64) -> Self {
        Self { mailbox, call }
    }

    /// Brings the answer to a question that was asked in this call. One that is over, or of another call, stays unanswered.
    pub(crate) fn respond(&self, key: u64, answer: RpcResponse) {
        self.mailbox.respond(self.call, key, answer);
    }

    /// Nobody waits for the answer any more: the server is told.
    pub(crate) fn cancel(&self) {
        self.mailbox.abandon(self.call);
    }

    pub(crate) fn cancelled_on_drop(self) -> Cancelling {
        Cancelling(self)
    }
}

impl CallHandle for Cancelling {
    fn respond(&self, key: u64, answer: RpcResponse) {
        self.0.respond(key, answer);
    }
}

impl Drop for Cancelling {
    fn drop(&mut self) {
        self.0.cancel();
    }
}
