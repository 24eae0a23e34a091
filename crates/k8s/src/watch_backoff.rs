//! The delays between restarts of a watch.

use std::time::Duration;

use portolan_core::Backoff;
use tokio::time::Instant;

/// The longest delay between two starts of a watch.
const MAX_DELAY: Duration = Duration::from_secs(5);

/// Adapts [`Backoff`] to kube's watches.
#[derive(Debug)]
pub(crate) struct WatchBackoff {
    backoff: Backoff,
    last: Option<Instant>,
}

impl WatchBackoff {
    pub(crate) fn new() -> Self {
        Self {
            backoff: Backoff::new(Duration::from_millis(250), MAX_DELAY),
            last: None,
        }
    }
}

impl Iterator for WatchBackoff {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        self.last = Some(Instant::now());
        Some(self.backoff.next_delay())
    }
}

impl kube::runtime::utils::Backoff for WatchBackoff {
    /// Resets only after a while without a failure: a watch that lists well and breaks each time must not be restarted
    /// after the first delay each time.
    fn reset(&mut self) {
        if self.last.is_some_and(|last| last.elapsed() > MAX_DELAY * 2) {
            self.backoff.reset();
        }
    }
}

#[cfg(test)]
mod tests {
    use kube::runtime::utils::Backoff as _;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn reset_needs_time_without_failures() {
        let mut backoff = WatchBackoff::new();
        let delays: Vec<_> = (0..8)
            .map(|_| {
                backoff.reset();
                backoff.next().expect("it never ends")
            })
            .collect();
        assert!(delays[0] <= MAX_DELAY / 10, "{delays:?}");
        assert!(
            delays[7] >= MAX_DELAY * 3 / 4 && delays[7] <= MAX_DELAY * 5 / 4,
            "{delays:?}"
        );
        tokio::time::advance(MAX_DELAY * 3).await;
        backoff.reset();
        assert!(backoff.next().expect("it never ends") <= MAX_DELAY / 10);
    }
}
