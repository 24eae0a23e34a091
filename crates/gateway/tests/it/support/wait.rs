//! Waiting for a condition instead of for a time.

use std::{panic::Location, time::Duration};

use tokio::time::{Instant, sleep};

/// The longest wait: nothing in the tests takes this long unless it hangs.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// The time between two looks at a condition.
const INTERVAL: Duration = Duration::from_millis(2);

/// Waits until `condition` holds; panics after [`DEADLINE`] with `what` and the caller's line.
#[track_caller]
pub(crate) fn eventually(what: &str, mut condition: impl FnMut() -> bool) -> impl Future<Output = ()> {
    eventually_async(what, async move || condition())
}

/// Like [`eventually`], for a condition that has to ask the gateway or a server.
#[track_caller]
pub(crate) fn eventually_async(what: &str, mut condition: impl AsyncFnMut() -> bool) -> impl Future<Output = ()> {
    let caller = Location::caller();
    async move {
        let end = Instant::now() + DEADLINE;
        while !condition().await {
            assert!(Instant::now() < end, "not within {DEADLINE:?}: {what} ({caller})");
            sleep(INTERVAL).await;
        }
    }
}
