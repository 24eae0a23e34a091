//! Delays between retries.

use std::{
    hash::{BuildHasher, RandomState},
    time::Duration,
};

/// Returns the delays between retries of one operation: doubled after each failure up to a maximum, with jitter.
///
/// It keeps no time and starts no timer: the caller sleeps for [`next_delay`](Self::next_delay) after a failure and
/// calls [`reset`](Self::reset) after a success. As an [`Iterator`] it never ends.
///
/// The jitter moves each delay by up to a quarter in either direction by default, also at the maximum, so that many
/// clients that failed together do not return together.
///
/// ```
/// use std::time::Duration;
/// use portolan_core::Backoff;
///
/// let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60)).with_jitter(0.0);
/// let delays: Vec<u64> = (0..8).map(|_| backoff.next_delay().as_secs()).collect();
/// assert_eq!(delays, [1, 2, 4, 8, 16, 32, 60, 60]);
/// backoff.reset();
/// assert_eq!(backoff.next_delay(), Duration::from_secs(1));
/// ```
#[derive(Clone, Debug)]
pub struct Backoff {
    first: Duration,
    max: Duration,
    min_requested: Duration,
    jitter: f64,
    failures: u32,
}

impl Backoff {
    /// Returns a backoff whose first delay is `first` and whose later ones double up to `max`, before jitter.
    ///
    /// A `first` above `max` is lowered to `max`.
    pub fn new(first: Duration, max: Duration) -> Self {
        Self {
            first: first.min(max),
            max,
            min_requested: Duration::from_millis(100).min(max),
            jitter: 0.25,
            failures: 0,
        }
    }

    /// Sets the largest fraction by which a delay is shortened or lengthened at random. Default: 0.25.
    ///
    /// Values outside of `0.0..=1.0` are clamped; 0 makes the delays exact.
    #[must_use]
    pub fn with_jitter(mut self, fraction: f64) -> Self {
        self.jitter = if fraction.is_nan() {
            0.0
        } else {
            fraction.clamp(0.0, 1.0)
        };
        self
    }

    /// Sets the shortest delay that a peer can request ([`next_delay_at_request`](Self::next_delay_at_request)).
    /// Default: 100 ms, or the maximum if that is shorter.
    #[must_use]
    pub fn with_min_requested(mut self, min: Duration) -> Self {
        self.min_requested = min.min(self.max);
        self
    }

    /// Counts a failure and returns how long to wait before the next attempt.
    pub fn next_delay(&mut self) -> Duration {
        let delay = self.count_failure();
        let jittered = delay.as_secs_f64() * (1.0 + self.jitter * random_offset());
        Duration::try_from_secs_f64(jittered).unwrap_or(delay)
    }

    /// Counts a failure and returns the delay that the peer requested, within bounds: a `Retry-After` header or the
    /// `retry` field of an event stream.
    ///
    /// The first request after a [`reset`](Self::reset) is followed down to [`with_min_requested`](Self::with_min_requested);
    /// later ones only lengthen the delay. The result has no jitter and is at most the maximum.
    ///
    /// ```
    /// use std::time::Duration;
    /// use portolan_core::Backoff;
    ///
    /// let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));
    /// assert_eq!(backoff.next_delay_at_request(Duration::from_millis(200)), Duration::from_millis(200));
    /// assert_eq!(backoff.next_delay_at_request(Duration::from_millis(200)), Duration::from_secs(2));
    /// assert_eq!(backoff.next_delay_at_request(Duration::from_secs(3600)), Duration::from_secs(60));
    /// ```
    pub fn next_delay_at_request(&mut self, requested: Duration) -> Duration {
        let is_first = self.failures == 0;
        let delay = self.count_failure();
        requested.clamp(if is_first { self.min_requested } else { delay }, self.max)
    }

    /// Returns the number of failures since the last [`reset`](Self::reset).
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// Forgets all failures: the next delay is the first one again.
    pub fn reset(&mut self) {
        self.failures = 0;
    }

    /// Counts a failure and returns its delay without jitter.
    fn count_failure(&mut self) -> Duration {
        let doubled = 2_u32.saturating_pow(self.failures);
        self.failures = self.failures.saturating_add(1);
        self.first.saturating_mul(doubled).min(self.max)
    }
}

impl Iterator for Backoff {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        Some(self.next_delay())
    }
}

/// Returns a number between -1 and 1. Each new [`RandomState`] has keys of its own, which is random enough for jitter.
fn random_offset() -> f64 {
    let bits = (RandomState::new().hash_one(0_u8) >> 32) as u32;
    2.0 * f64::from(bits) / f64::from(u32::MAX) - 1.0
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn delays_double_up_to_the_maximum() {
        let backoff = Backoff::new(SECOND, 10 * SECOND).with_jitter(0.0);
        let seconds: Vec<_> = backoff.take(6).map(|delay| delay.as_secs()).collect();
        assert_eq!(seconds, [1, 2, 4, 8, 10, 10]);
    }

    #[test]
    fn jitter_stays_within_its_fraction() {
        let mut backoff = Backoff::new(SECOND, SECOND);
        let delays: Vec<_> = (0..1000).map(|_| backoff.next_delay()).collect();
        let bounds = Duration::from_millis(750)..=Duration::from_millis(1250);
        assert!(delays.iter().all(|delay| bounds.contains(delay)), "{delays:?}");
        let (min, max) = (delays.iter().min().unwrap(), delays.iter().max().unwrap());
        assert!(*max - *min > SECOND / 4, "{min:?} to {max:?}");
    }

    #[test]
    fn reset_returns_to_the_first_delay() {
        let mut backoff = Backoff::new(SECOND, 60 * SECOND).with_jitter(0.0);
        backoff.by_ref().take(5).for_each(drop);
        assert_eq!(backoff.failures(), 5);
        backoff.reset();
        assert_eq!((backoff.failures(), backoff.next_delay()), (0, SECOND));
    }

    #[test]
    fn many_failures_do_not_overflow() {
        let mut backoff = Backoff::new(Duration::from_millis(1), Duration::MAX).with_jitter(0.0);
        let longest = (0..5000).map(|_| backoff.next_delay()).max();
        assert_eq!(longest, Some(Duration::from_millis(u64::from(u32::MAX))));
        let mut longest = Backoff::new(Duration::MAX, Duration::MAX);
        assert!((0..100).all(|_| longest.next_delay() > Duration::from_secs(u64::MAX / 2)));
    }

    #[test]
    fn first_is_lowered_to_the_maximum() {
        let mut backoff = Backoff::new(60 * SECOND, SECOND).with_jitter(0.0);
        assert_eq!(backoff.next_delay(), SECOND);
    }

    #[test]
    fn requested_delays_are_clamped() {
        let mut backoff = Backoff::new(SECOND, 60 * SECOND);
        let shortest = backoff.next_delay_at_request(Duration::ZERO);
        assert_eq!(shortest, Duration::from_millis(100));
        assert_eq!(backoff.next_delay_at_request(Duration::ZERO), 2 * SECOND);
        assert_eq!(backoff.next_delay_at_request(Duration::MAX), 60 * SECOND);
        let mut lower = Backoff::new(SECOND, 60 * SECOND).with_min_requested(Duration::ZERO);
        assert_eq!(lower.next_delay_at_request(Duration::ZERO), Duration::ZERO);
    }

    #[test]
    fn jitter_fraction_is_clamped() {
        for fraction in [f64::NAN, f64::INFINITY, -1.0, 7.0] {
            let mut backoff = Backoff::new(SECOND, SECOND).with_jitter(fraction);
            assert!((0..100).all(|_| backoff.next_delay() <= 2 * SECOND));
        }
    }
}
