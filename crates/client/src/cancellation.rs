//! That a client wants an answer no more.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use futures_util::task::AtomicWaker;

/// Whether a call was cancelled. Clones are one; one of them at a time may wait.
///
/// There is one for each call, so it is as small as can be: no list of those who wait, no box for the waiting.
#[derive(Clone, Debug, Default)]
pub struct Cancellation(Arc<State>);

#[derive(Debug, Default)]
struct State {
    cancelled: AtomicBool,
    waiting: AtomicWaker,
}

/// What it means that the client's connection ends before the answer.
#[derive(Debug)]
pub(crate) enum DisconnectPolicy {
    /// The call is cancelled (2026-07-28).
    Cancels,
    /// The call goes on, unless the client has cancelled it by then (2025-11-25 and older).
    CancelsIf(Cancellation),
}

impl Cancellation {
    /// Cancels the call, for good.
    pub fn cancel(&self) {
        self.0.cancelled.store(true, Ordering::Release);
        self.0.waiting.wake();
    }

    /// Whether it was cancelled.
    pub fn is_cancelled(&self) -> bool {
        self.0.cancelled.load(Ordering::Acquire)
    }

    /// Ready when it was cancelled.
    pub fn poll(&self, cx: &Context<'_>) -> Poll<()> {
        self.0.waiting.register(cx.waker());
        if self.is_cancelled() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }
}
