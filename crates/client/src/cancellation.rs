//! A cancellation flag with one waiter.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use futures_util::task::AtomicWaker;

/// The cancellation of a call. Clones share it; one of them at a time may wait.
///
/// Each call has one, so it is small: no list of waiters, no allocation for a wait.
///
/// ```
/// let cancellation = portolan_client::Cancellation::default();
/// cancellation.clone().cancel();
/// assert!(cancellation.is_cancelled());
/// ```
#[derive(Clone, Debug, Default)]
pub struct Cancellation(Arc<State>);

#[derive(Debug, Default)]
struct State {
    cancelled: AtomicBool,
    waiting: AtomicWaker,
}

/// The effect of a client's closed connection before the response.
#[derive(Debug)]
pub(crate) enum DisconnectPolicy {
    /// The call is cancelled (2026-07-28).
    Cancels,
    /// The call goes on, unless the client has cancelled it before (2025-11-25 and older).
    CancelsIf(Cancellation),
}

impl Cancellation {
    /// Cancels the call, for good.
    pub fn cancel(&self) {
        self.0.cancelled.store(true, Ordering::Release);
        self.0.waiting.wake();
    }

    /// Returns `true` if the call was cancelled.
    pub fn is_cancelled(&self) -> bool {
        self.0.cancelled.load(Ordering::Acquire)
    }

    /// Is ready when the call was cancelled.
    pub fn poll(&self, cx: &Context<'_>) -> Poll<()> {
        self.0.waiting.register(cx.waker());
        if self.is_cancelled() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }
}
