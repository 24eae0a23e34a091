//! Decides when a server that ended is started again.

use std::time::Duration;

use portolan_core::Backoff;

/// When and how often a server that ended is started again.
///
/// ```
/// use std::time::Duration;
/// use portolan_process::{ProcessConfig, RestartPolicy};
///
/// let restarts = RestartPolicy::default().with_max_delay(Duration::from_secs(10)).with_crash_loop_after(3);
/// let config = ProcessConfig::new("/run/portolan").with_restarts(restarts);
/// assert_eq!(config.restarts.first_delay, Duration::from_millis(100));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RestartPolicy {
    /// The delay after the first failure; it doubles with each further one. Default: 100 ms.
    pub first_delay: Duration,
    /// The longest delay, and the delay in a crash loop. Default: 30 s.
    pub max_delay: Duration,
    /// After running that long, earlier failures are forgotten. Default: 60 s.
    pub healthy_after: Duration,
    /// This many failures in a row are a crash loop: calls fail at once, and each further start waits for `max_delay`.
    /// 0 counts as 1. Default: 5.
    pub crash_loop_after: u32,
}

impl RestartPolicy {
    /// Sets the delay after the first failure. Default: 100 ms.
    #[must_use]
    pub fn with_first_delay(mut self, delay: Duration) -> Self {
        self.first_delay = delay;
        self
    }

    /// Sets the longest delay. Default: 30 s.
    #[must_use]
    pub fn with_max_delay(mut self, delay: Duration) -> Self {
        self.max_delay = delay;
        self
    }

    /// Sets how long a server has to run until earlier failures are forgotten. Default: 60 s.
    #[must_use]
    pub fn with_healthy_after(mut self, uptime: Duration) -> Self {
        self.healthy_after = uptime;
        self
    }

    /// Sets how many failures in a row are a crash loop. Default: 5.
    #[must_use]
    pub fn with_crash_loop_after(mut self, failures: u32) -> Self {
        self.crash_loop_after = failures;
        self
    }
}

impl Default for RestartPolicy {
    fn default() -> Self {
        Self {
            first_delay: Duration::from_millis(100),
            max_delay: Duration::from_secs(30),
            healthy_after: Duration::from_secs(60),
            crash_loop_after: 5,
        }
    }
}

/// What follows a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RestartDecision {
    /// How long to wait before the next start.
    pub(crate) delay: Duration,
    /// Set if this is a crash loop.
    pub(crate) crash_loop: bool,
}

/// Counts the failures of one server.
#[derive(Debug)]
pub(crate) struct RestartCounter {
    policy: RestartPolicy,
    /// Without jitter: a machine runs few servers, and a test can say what it expects.
    backoff: Backoff,
}

impl RestartCounter {
    pub(crate) fn new(policy: RestartPolicy) -> Self {
        let backoff = Backoff::new(policy.first_delay, policy.max_delay).with_jitter(0.0);
        Self { policy, backoff }
    }

    /// Counts a run that ended by itself after it was ready for `uptime`.
    pub(crate) fn failed(&mut self, uptime: Duration) -> RestartDecision {
        if uptime >= self.policy.healthy_after {
            self.reset();
        }
        let delay = self.backoff.next_delay();
        let crash_loop = self.failures() >= self.policy.crash_loop_after.max(1);
        RestartDecision {
            delay: if crash_loop { self.policy.max_delay } else { delay },
            crash_loop,
        }
    }

    /// Returns the delay after a failure that a soon retry will hardly mend, such as a program that is not installed.
    pub(crate) fn slow_retry(&self) -> Duration {
        self.policy.max_delay
    }

    /// Returns the number of failures in a row.
    pub(crate) fn failures(&self) -> u32 {
        self.backoff.failures()
    }

    /// Forgets earlier failures.
    pub(crate) fn reset(&mut self) {
        self.backoff.reset();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEVER_READY: Duration = Duration::ZERO;

    #[test]
    fn delays_double_until_crash_loop() {
        let mut restarts = RestartCounter::new(RestartPolicy::default());
        let decisions: Vec<_> = (0..4).map(|_| restarts.failed(NEVER_READY)).collect();
        let millis: Vec<_> = decisions.iter().map(|decision| decision.delay.as_millis()).collect();
        assert_eq!(millis, [100, 200, 400, 800]);
        assert!(decisions.iter().all(|decision| !decision.crash_loop));
        for _ in 0..100 {
            let decision = restarts.failed(NEVER_READY);
            assert_eq!((decision.delay, decision.crash_loop), (Duration::from_secs(30), true));
        }
    }

    #[test]
    fn healthy_run_forgets_failures() {
        let mut restarts = RestartCounter::new(RestartPolicy::default());
        for _ in 0..10 {
            restarts.failed(Duration::from_secs(59));
        }
        assert!(restarts.failed(NEVER_READY).crash_loop);
        let decision = restarts.failed(Duration::from_secs(60));
        assert_eq!((decision.delay.as_millis(), decision.crash_loop), (100, false));
    }

    #[test]
    fn delay_is_bounded() {
        let policy = RestartPolicy::default().with_crash_loop_after(u32::MAX);
        let mut restarts = RestartCounter::new(policy);
        let longest = (0..5000).map(|_| restarts.failed(NEVER_READY).delay).max();
        assert_eq!(longest, Some(Duration::from_secs(30)));
    }
}
