//! Delays small writes, so that reads come first under load.
//!
//! Under load many connections are ready at once. Reading, working and writing for one after the other wakes the other
//! side, and fetches the kernel's write path into the cache, for each. Here a task with something to write yields once to
//! the others; then the writes follow upon each other. If nothing else is ready, it goes on at once. Long messages are
//! written at once.

use std::task::{Context, Poll};

/// The size above which messages are written at once: they would have left the cache.
pub const SMALL: usize = 16 * 1024;

/// Yields once before a write of this many bytes.
pub async fn wait(bytes: usize) {
    let mut waited = false;
    std::future::poll_fn(|cx| poll(&mut waited, cx, bytes)).await;
}

/// Polls for the end of the yield. `waited` is set once the others had their turn.
pub fn poll(waited: &mut bool, cx: &mut Context<'_>, bytes: usize) -> Poll<()> {
    if *waited || bytes > SMALL {
        return Poll::Ready(());
    }
    *waited = true;
    cx.waker().wake_by_ref();
    Poll::Pending
}
