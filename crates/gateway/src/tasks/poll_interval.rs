//! The interval at which the gateway polls a task.

use std::{
    hash::{BuildHasher, RandomState},
    time::Duration,
};

/// The interval if the server names none.
const DEFAULT: Duration = Duration::from_secs(1);
/// The minimum interval.
const MIN: Duration = Duration::from_millis(100);
/// The maximum interval: a client waits for the result.
const MAX: Duration = Duration::from_secs(30);
/// The number of failures in a row after which polling stops.
const TRIES: u32 = 5;

/// The poll interval of one task, with backoff after failures.
#[derive(Debug, Default)]
pub(super) struct PollInterval {
    requested: Option<Duration>,
    failures: u32,
}

impl PollInterval {
    /// Records a response, and the interval it requests.
    pub(super) fn succeeded(&mut self, requested: Option<Duration>) {
        self.requested = requested.or(self.requested);
        self.failures = 0;
    }

    /// Records a failure; returns whether to try again.
    pub(super) fn failed(&mut self) -> bool {
        self.failures += 1;
        self.failures < TRIES
    }

    /// Returns the wait before the next poll: doubled after each failure, and up to a tenth longer, so that tasks
    /// created together are not polled together.
    pub(super) fn next(&self) -> Duration {
        let wait = self.requested.unwrap_or(DEFAULT).clamp(MIN, MAX);
        let wait = (wait * 2_u32.saturating_pow(self.failures.min(16))).min(MAX);
        // Each `RandomState` has random keys.
        let jitter = (RandomState::new().hash_one(0_u8) % 100) as u32;
        wait + wait * jitter / 1000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interval_is_clamped() {
        let after = |requested: Option<u64>| {
            let mut poll_interval = PollInterval::default();
            poll_interval.succeeded(requested.map(Duration::from_millis));
            poll_interval.next().as_millis()
        };
        assert!((1000..=1100).contains(&after(None)));
        assert!((100..=110).contains(&after(Some(0))));
        assert!((500..=550).contains(&after(Some(500))));
        assert!((30_000..=33_000).contains(&after(Some(u64::MAX))));
    }

    #[test]
    fn failures_back_off_and_stop() {
        let mut poll_interval = PollInterval::default();
        for seconds in [2, 4, 8, 16] {
            assert!(poll_interval.failed());
            let wait = poll_interval.next().as_millis();
            assert!(
                (seconds * 1000..=seconds * 1100).contains(&wait),
                "{wait} ms for {seconds} s"
            );
        }
        assert!(!poll_interval.failed());
        poll_interval.succeeded(None);
        assert!(poll_interval.failed());
    }
}
