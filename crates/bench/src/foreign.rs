//! CPU time that others took during a measurement: a figure taken on a busy machine must say so.

use std::fs;
use std::time::{Duration, Instant};

use crate::Result;

/// Foreign work, as a share of one core, from which on a measurement counts as disturbed.
pub(crate) const DISTURBED: f64 = 0.08;

/// How long the machine is watched to see whether it is quiet.
const GLANCE: Duration = Duration::from_millis(250);

/// The time all cores together spent working, in ticks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Busy(u64);

impl Busy {
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

    /// The time spent since an earlier reading.
    pub(crate) fn since(self, earlier: Self) -> Duration {
        let ticks = self.0.saturating_sub(earlier.0);
        Duration::from_nanos(ticks * 1_000_000_000 / rustix::param::clock_ticks_per_second())
    }
}

/// Waits until nobody works, or until a moment has come. Nothing of this run may be working either.
pub(crate) async fn quiet(until: Instant) -> Result<()> {
    while Instant::now() < until {
        let before = Busy::read()?;
        tokio::time::sleep(GLANCE).await;
        if Busy::read()?.since(before).as_secs_f64() <= DISTURBED * GLANCE.as_secs_f64() {
            break;
        }
    }
    Ok(())
}
