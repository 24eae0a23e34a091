//! How often a server is asked for a task that is driven.

use std::{
    hash::{BuildHasher, RandomState},
    time::Duration,
};

/// Where the server does not say.
const USUAL: Duration = Duration::from_secs(1);
/// A server that wants to be asked more often is asked so often.
const SHORTEST: Duration = Duration::from_millis(100);
/// One that wants to be asked less often is asked so often all the same: its client waits.
const LONGEST: Duration = Duration::from_secs(30);
/// Failures in a row until a task is given up.
const TRIES: u32 = 5;

/// The rhythm of one task.
#[derive(Debug, Default)]
pub(super) struct PollInterval {
    wished: Option<Duration>,
    failures: u32,
}

impl PollInterval {
    /// The server has answered, and wishes this.
    pub(super) fn answered(&mut self, wished: Option<Duration>) {
        self.wished = wished.or(self.wished);
        self.failures = 0;
    }

    /// The server could not be asked. Whether it is to be tried again.
    pub(super) fn failed(&mut self) -> bool {
        self.failures += 1;
        self.failures < TRIES
    }

    /// The wait before the next question: up to a tenth longer than it has to be, so that tasks which began together are
    /// not asked for together; and twice as long after each failure.
    pub(super) fn next(&self) -> Duration {
        let wait = self.wished.unwrap_or(USUAL).clamp(SHORTEST, LONGEST);
        let wait = (wait * 2_u32.saturating_pow(self.failures.min(16))).min(LONGEST);
        // A new one hashes as no other does.
        let jitter = (RandomState::new().hash_one(0_u8) % 100) as u32;
        wait + wait * jitter / 1000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_asked_as_often_as_it_wishes_within_bounds() {
        let after = |wished: Option<u64>| {
            let mut poll_interval = PollInterval::default();
            poll_interval.answered(wished.map(Duration::from_millis));
            poll_interval.next().as_millis()
        };
        assert!((1000..=1100).contains(&after(None)));
        assert!((100..=110).contains(&after(Some(0))));
        assert!((500..=550).contains(&after(Some(500))));
        assert!((30_000..=33_000).contains(&after(Some(u64::MAX))));
    }

    #[test]
    fn a_server_that_fails_is_asked_less_often_and_then_not_at_all() {
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
        poll_interval.answered(None);
        assert!(poll_interval.failed());
    }
}
