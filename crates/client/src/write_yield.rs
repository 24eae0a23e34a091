//! Whose turn it is to write.
//!
//! Under load many connections are ready at once. To read, work and write for one after the other wakes the other side, and
//! fetches the kernel's ways of writing anew, for each. Here who has something to write lets the others go first, once; then
//! the writes follow upon each other. When nothing else is ready, it is its turn at once. What is long is written as soon as
//! it is read.

use std::task::{Context, Poll};

/// More than this is written at once: until the others have read theirs, it would have left the cache.
pub const SMALL: usize = 16 * 1024;

/// Lets others go first, once, before so many bytes are written.
pub async fn wait(bytes: usize) {
    let mut waited = false;
    std::future::poll_fn(|cx| poll(&mut waited, cx, bytes)).await;
}

/// The same for who is polled. `waited` says whether the others have gone.
pub fn poll(waited: &mut bool, cx: &mut Context<'_>, bytes: usize) -> Poll<()> {
    if *waited || bytes > SMALL {
        return Poll::Ready(());
    }
    *waited = true;
    cx.waker().wake_by_ref();
    Poll::Pending
}
