//! How long to wait before a server is listened to again.

use std::time::Duration;

/// The first wait after a failure.
const FIRST: Duration = Duration::from_secs(1);
/// The longest.
const LONGEST: Duration = Duration::from_secs(60);
/// The shortest that a server can ask for.
const SHORTEST: Duration = Duration::from_millis(100);

/// Waits that grow with each failure in a row, with jitter, so that many gateways do not come back at once.
#[derive(Debug, Default)]
pub(crate) struct ReconnectBackoff {
    failures: u32,
}

impl ReconnectBackoff {
    /// All is well: the next wait is a short one.
    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }

    /// The next wait; at least what the server has asked for.
    pub(crate) fn next(&mut self, asked: Option<Duration>) -> Duration {
        let grown = FIRST.saturating_mul(1 << self.failures.min(6)).min(LONGEST);
        let first = self.failures == 0;
        self.failures += 1;
        match asked {
            // A server that closes its streams on purpose says when to come back (SEP-1699).
            Some(asked) if first => asked.clamp(SHORTEST, LONGEST),
            Some(asked) => asked.clamp(grown, LONGEST),
            None => grown.mul_f64(0.75 + 0.5 * jitter()),
        }
    }
}

/// From 0 to 1.
fn jitter() -> f64 {
    use std::hash::{BuildHasher, RandomState};
    let bits = RandomState::new().hash_one(0_u8);
    f64::from((bits >> 32) as u32) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_bound_and_begin_anew() {
        let mut backoff = ReconnectBackoff::default();
        let waits: Vec<_> = (0..20).map(|_| backoff.next(None)).collect();
        assert!(waits[0] < FIRST * 2 && waits[19] > LONGEST / 2 && waits[19] < LONGEST * 2);
        backoff.reset();
        assert_eq!(
            backoff.next(Some(Duration::from_millis(200))),
            Duration::from_millis(200)
        );
        assert!(backoff.next(Some(Duration::from_millis(200))) >= FIRST);
        backoff.reset();
        assert_eq!(backoff.next(Some(Duration::ZERO)), SHORTEST);
    }
}
