//! The time of day.

use std::fmt::Debug;

use jiff::Timestamp;

/// Tells the time of day, for what is written down: times of records, expiry. Waiting uses `tokio::time`, which tests can
/// pause.
///
/// # Contract
///
/// - `now` returns at once, without I/O.
///
/// ```
/// use portolan_core::{Clock, SystemClock};
///
/// assert!(SystemClock.now().as_second() > 1_700_000_000);
/// ```
pub trait Clock: Debug + Send + Sync {
    /// Returns the time now.
    fn now(&self) -> Timestamp;
}

/// A [`Clock`] that reads the machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that asks the machine")]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}
