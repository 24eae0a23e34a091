//! Time, handed in.

use std::fmt::Debug;

use jiff::Timestamp;

/// Tells the time of day.
///
/// Waiting is `tokio::time`'s, which tests can pause; this trait is for what is written down: record times, expiry.
pub trait Clock: Debug + Send + Sync {
    /// Now.
    fn now(&self) -> Timestamp;
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that asks the machine")]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}
