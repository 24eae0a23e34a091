//! When a server that ended is started again.

use std::time::Duration;

/// When and how often a server that ended is started again.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RestartPolicy {
    /// The wait after the first failure; it doubles with each further one. Default: 100 ms.
    pub first: Duration,
    /// The longest wait, and the wait in a crash loop. Default: 30 s.
    pub longest: Duration,
    /// After running that long, earlier failures are forgotten. Default: 60 s.
    pub healthy_after: Duration,
    /// This many failures in a row are a crash loop: calls fail at once, starting goes on at the longest wait.
    /// Default: 5.
    pub crash_loop_after: u32,
}

impl Default for RestartPolicy {
    fn default() -> Self {
        Self {
            first: Duration::from_millis(100),
            longest: Duration::from_secs(30),
            healthy_after: Duration::from_secs(60),
            crash_loop_after: 5,
        }
    }
}

/// What comes after a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RestartDecision {
    /// How long to wait before the next start.
    pub(crate) wait: Duration,
    /// Whether this is a crash loop.
    pub(crate) crash_loop: bool,
}

/// Counts failures.
#[derive(Debug)]
pub(crate) struct RestartCounter {
    policy: RestartPolicy,
    failures: u32,
}

impl RestartCounter {
    pub(crate) fn new(policy: RestartPolicy) -> Self {
        Self { policy, failures: 0 }
    }

    /// A run ended that nobody ended. `uptime` is how long it could be called.
    pub(crate) fn failed(&mut self, uptime: Duration) -> RestartDecision {
        if uptime >= self.policy.healthy_after {
            self.failures = 0;
        }
        self.failures = self.failures.saturating_add(1);
        let crash_loop = self.failures >= self.policy.crash_loop_after.max(1);
        let doubled = 2u32.saturating_pow(self.failures - 1);
        let wait = if crash_loop {
            self.policy.longest
        } else {
            self.policy.first.saturating_mul(doubled).min(self.policy.longest)
        };
        RestartDecision { wait, crash_loop }
    }

    /// What waiting will hardly mend, such as a program that is not there: goes on slowly.
    pub(crate) fn slow_retry(&self) -> Duration {
        self.policy.longest
    }

    /// How many failures there were in a row.
    pub(crate) fn failures(&self) -> u32 {
        self.failures
    }

    /// Somebody asked for a fresh start.
    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEVER: Duration = Duration::ZERO;

    #[test]
    fn waits_double_until_the_crash_loop() {
        let mut restarts = RestartCounter::new(RestartPolicy::default());
        let waits: Vec<_> = (0..4).map(|_| restarts.failed(NEVER)).collect();
        let millis: Vec<_> = waits.iter().map(|next| next.wait.as_millis()).collect();
        assert_eq!(millis, [100, 200, 400, 800]);
        assert!(waits.iter().all(|next| !next.crash_loop));
        for _ in 0..100 {
            let next = restarts.failed(NEVER);
            assert_eq!((next.wait, next.crash_loop), (Duration::from_secs(30), true));
        }
    }

    #[test]
    fn a_minute_of_health_forgets_earlier_failures() {
        let mut restarts = RestartCounter::new(RestartPolicy::default());
        for _ in 0..10 {
            restarts.failed(Duration::from_secs(59));
        }
        assert!(restarts.failed(NEVER).crash_loop);
        let next = restarts.failed(Duration::from_secs(60));
        assert_eq!((next.wait.as_millis(), next.crash_loop), (100, false));
    }

    #[test]
    fn no_wait_is_longer_than_the_longest() {
        let policy = RestartPolicy {
            crash_loop_after: u32::MAX,
            ..RestartPolicy::default()
        };
        let mut restarts = RestartCounter::new(policy);
        let longest = (0..5000).map(|_| restarts.failed(NEVER).wait).max();
        assert_eq!(longest, Some(Duration::from_secs(30)));
    }
}
