//! A clock for tests.

use std::{sync::Mutex, time::Duration};

use jiff::Timestamp;

use super::lock;
use crate::Clock;

/// A [`Clock`] for tests that stands still until it is set.
///
/// ```
/// use std::time::Duration;
/// use portolan_core::{Clock, memory::ManualClock};
///
/// let clock = ManualClock::new("2026-07-28T12:00:00Z".parse().expect("a time"));
/// clock.advance(Duration::from_secs(60));
/// assert_eq!(clock.now().to_string(), "2026-07-28T12:01:00Z");
/// ```
#[derive(Debug, Default)]
pub struct ManualClock(Mutex<Timestamp>);

impl ManualClock {
    /// Creates a clock that stands at `now`. The default one stands at the beginning of 1970. For an example, see
    /// [`ManualClock`].
    pub fn new(now: Timestamp) -> Self {
        Self(Mutex::new(now))
    }

    /// Sets the time.
    pub fn set(&self, now: Timestamp) {
        *lock(&self.0) = now;
    }

    /// Advances the time, at most to the last timestamp.
    pub fn advance(&self, by: Duration) {
        let mut now = lock(&self.0);
        *now = now.checked_add(by).unwrap_or(Timestamp::MAX);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        *lock(&self.0)
    }
}
