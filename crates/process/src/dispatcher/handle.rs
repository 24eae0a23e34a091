//! The caller's side of a call.

use std::sync::Arc;

use portolan_core::{CallHandle, ExchangeEvent, RpcResponse};
use tokio::sync::mpsc;

use super::RpcDispatcher;

/// A call that was taken: what comes for it, and what may be said to it.
pub(crate) struct DispatchedCall {
    pub(crate) events: mpsc::Receiver<ExchangeEvent>,
    pub(crate) handle: CallRef,
}

/// Names a call. Dropping it does nothing.
#[derive(Clone, Debug)]
pub(crate) struct CallRef {
    dispatcher: Arc<RpcDispatcher>,
    call: u64,
}

/// Cancels a call when it is dropped, unless that was answered.
#[derive(Debug)]
pub(crate) struct CancelOnDrop(CallRef);

impl CallRef {
    pub(super) fn new(dispatcher: Arc<RpcDispatcher>, call: u64) -> Self {
        Self { dispatcher, call }
    }

    /// Brings the answer to a question that was asked in this call. One that is over, or of another call, stays unanswered.
    pub(crate) fn respond(&self, key: u64, answer: RpcResponse) {
        self.dispatcher.respond(self.call, key, answer);
    }

    /// Nobody waits for the answer any more: the server is told.
    pub(crate) fn cancel(&self) {
        self.dispatcher.abandon(self.call);
    }

    pub(crate) fn cancelled_on_drop(self) -> CancelOnDrop {
        CancelOnDrop(self)
    }
}

impl CallHandle for CancelOnDrop {
    fn respond(&self, key: u64, answer: RpcResponse) {
        self.0.respond(key, answer);
    }
}

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}
