//! How long to wait before something is tried again.

use std::{
    hash::{BuildHasher, RandomState},
    time::Duration,
};

use tokio::time::Instant;

/// Waits that grow from `first` to `most`, each a little off, so that many who failed together do not come back together.
#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    first: Duration,
    most: Duration,
    next: Duration,
    jitter: RandomState,
    last: Option<Instant>,
}

impl Backoff {
    pub(crate) fn new(first: Duration, most: Duration) -> Self {
        Self {
            first,
            most,
            next: first,
            jitter: RandomState::new(),
            last: None,
        }
    }

    /// The next wait: between three and five quarters of what it would be exactly.
    pub(crate) fn wait(&mut self) -> Duration {
        let exact = self.next;
        self.next = (exact * 2).min(self.most);
        let now = Instant::now();
        self.last = Some(now);
        let spread = u32::try_from(self.jitter.hash_one(now) % 512).unwrap_or(0);
        exact * (768 + spread) / 1024
    }

    /// Begins anew.
    pub(crate) fn begin_anew(&mut self) {
        self.next = self.first;
    }
}

impl Iterator for Backoff {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        Some(self.wait())
    }
}

impl kube::runtime::utils::Backoff for Backoff {
    /// A watch that lists well and then breaks, over and over, must not be retried at the first pace each time: one
    /// success counts only after a while without a failure.
    fn reset(&mut self) {
        if self.last.is_some_and(|last| last.elapsed() > self.most * 2) {
            self.begin_anew();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_the_most_and_stay_near_it() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));
        let waits: Vec<_> = (0..8).map(|_| backoff.wait()).collect();
        assert!(waits[0] <= Duration::from_millis(125), "{waits:?}");
        assert!(
            waits[7] >= Duration::from_millis(750) && waits[7] <= Duration::from_millis(1250),
            "{waits:?}"
        );
    }
}
