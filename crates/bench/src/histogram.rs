//! A histogram of latencies with buckets whose width grows with the value.

use std::time::Duration;

/// Buckets per power of two: the error of a value is at most 1.6 %.
const FINE: u64 = 64;
const FINE_BITS: u32 = FINE.ilog2();

/// A histogram of durations, in nanoseconds.
#[derive(Clone, Debug)]
pub(crate) struct Histogram {
    counts: Vec<u64>,
    total: u64,
}

impl Histogram {
    pub(crate) fn new() -> Self {
        Self {
            counts: vec![0; bucket(u64::MAX) + 1],
            total: 0,
        }
    }

    pub(crate) fn add(&mut self, latency: Duration) {
        let nanoseconds = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        self.counts[bucket(nanoseconds)] += 1;
        self.total += 1;
    }

    /// Returns the latency that this share of the calls does not exceed; zero without calls.
    pub(crate) fn quantile(&self, share: f64) -> Duration {
        let wanted = ((self.total as f64 * share).ceil() as u64).max(1);
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return Duration::from_nanos(middle(index));
            }
        }
        Duration::ZERO
    }
}

fn bucket(value: u64) -> usize {
    let shift = (u64::BITS - value.leading_zeros()).saturating_sub(FINE_BITS + 1);
    (u64::from(shift) * FINE + (value >> shift)) as usize
}

fn middle(index: usize) -> u64 {
    let index = index as u64;
    let shift = (index / FINE).saturating_sub(1);
    let lowest = (index - shift * FINE) << shift;
    lowest + (1 << shift) / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_keep_two_percent_precision() {
        for value in [1, 63, 64, 127, 128, 1_000, 65_537, 1_234_567, 9_876_543_210] {
            let kept = middle(bucket(value));
            assert!(kept.abs_diff(value) * 50 <= value, "{value} became {kept}");
        }
    }

    #[test]
    fn quantiles_match_counts() {
        let mut histogram = Histogram::new();
        (1..=1000).for_each(|at| histogram.add(Duration::from_micros(at)));
        assert_eq!(histogram.quantile(0.5).as_micros().abs_diff(500) / 10, 0);
        assert_eq!(histogram.quantile(0.99).as_micros().abs_diff(990) / 20, 0);
    }
}
