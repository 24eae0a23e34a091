//! A caller's references to its call.

use std::sync::Arc;

use portolan_core::{CallHandle, ExchangeEvent, RpcResponse};
use tokio::sync::mpsc;

use super::RpcDispatcher;

/// A call that was sent: its events, and a reference to it.
pub(crate) struct DispatchedCall {
    pub(crate) events: mpsc::Receiver<ExchangeEvent>,
    pub(crate) handle: CallRef,
}

/// A reference to a call. Dropping it does not cancel the call.
#[derive(Clone, Debug)]
pub(crate) struct CallRef {
    dispatcher: Arc<RpcDispatcher>,
    call: u64,
}

/// Cancels its call on drop, unless that has its response.
#[derive(Debug)]
pub(crate) struct CancelOnDrop(CallRef);

impl CallRef {
    pub(super) fn new(dispatcher: Arc<RpcDispatcher>, call: u64) -> Self {
        Self { dispatcher, call }
    }

    /// Responds to a server request of this call. Keys of other calls, and of requests that are over, are ignored.
    pub(crate) fn respond(&self, key: u64, response: RpcResponse) {
        self.dispatcher.respond(self.call, key, response);
    }

    /// Cancels the call, and tells the server.
    pub(crate) fn cancel(&self) {
        self.dispatcher.abandon(self.call);
    }

    /// Ties the call to the returned value.
    pub(crate) fn cancelled_on_drop(self) -> CancelOnDrop {
        CancelOnDrop(self)
    }
}

impl CallHandle for CancelOnDrop {
    fn respond(&self, key: u64, response: RpcResponse) {
        self.0.respond(key, response);
    }
}

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}
