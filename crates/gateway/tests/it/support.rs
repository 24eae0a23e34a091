//! Clients, gateways and servers for the tests.

pub(crate) mod asker;
pub(crate) mod client;
pub(crate) mod conversation;
pub(crate) mod jobs;
pub(crate) mod library;
pub(crate) mod raw;
pub(crate) mod replica;
pub(crate) mod script;
pub(crate) mod talker;
pub(crate) mod teller;
pub(crate) mod world;

use std::time::Duration;

/// Nothing here takes this long unless it hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until something holds.
#[track_caller]
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) -> impl Future<Output = ()> {
    let place = std::panic::Location::caller();
    async move {
        let end = tokio::time::Instant::now() + PATIENCE;
        while !holds() {
            assert!(tokio::time::Instant::now() < end, "never: {what} ({place})");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}
