//! The CPU time that other processes take during a measurement.

use std::fs;
use std::time::{Duration, Instant};

use crate::Result;

/// A measurement is disturbed if other processes take more than this share of one core.
pub(crate) const DISTURBED_CORES: f64 = 0.08;

/// The time over which the machine's load is sampled.
const IDLE_SAMPLE: Duration = Duration::from_millis(250);

/// The busy time of all cores together, in ticks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BusyTime(u64);

impl BusyTime {
    pub(crate) fn read() -> Result<Self> {
        let text = fs::read_to_string("/proc/stat")?;
        let line = text.lines().next().ok_or("an empty /proc/stat")?;
        let numbers: Vec<u64> = line
            .split_whitespace()
            .skip(1)
            .filter_map(|word| word.parse().ok())
            .collect();
        // user nice system idle iowait irq softirq steal guest guest_nice; guests are in user already.
        let working = [0, 1, 2, 5, 6, 7].iter().filter_map(|at| numbers.get(*at)).sum();
        Ok(Self(working))
    }

    /// Returns the busy time since an earlier reading.
    pub(crate) fn since(self, earlier: Self) -> Duration {
        let ticks = self.0.saturating_sub(earlier.0);
        Duration::from_nanos(ticks * 1_000_000_000 / rustix::param::clock_ticks_per_second())
    }
}

/// Waits until all cores are idle, at most until the given moment. Processes of this run must be idle, too.
pub(crate) async fn wait_for_idle(until: Instant) -> Result<()> {
    while Instant::now() < until {
        let before = BusyTime::read()?;
        tokio::time::sleep(IDLE_SAMPLE).await;
        if BusyTime::read()?.since(before).as_secs_f64() <= DISTURBED_CORES * IDLE_SAMPLE.as_secs_f64() {
            break;
        }
    }
    Ok(())
}
