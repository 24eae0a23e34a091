//! One measurement of one system, and the medians of several.

use std::time::Duration;

use serde::Serialize;

use crate::Result;
use crate::idle::BusyTime;
use crate::load::{self, Counted, Load};
use crate::systems::{self, System};
use crate::usage::Cpu;

/// The figures of one measurement.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Sample {
    pub(crate) calls: u64,
    pub(crate) calls_per_second: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    /// CPU time of the system's process, or of the upstream if it is measured alone.
    pub(crate) cpu_ms_per_1000: f64,
    /// Peak of resident memory during this measurement.
    pub(crate) peak_kib: u64,
    /// CPU time of processes outside this run, as a share of one core.
    pub(crate) foreign_cores: f64,
    pub(crate) failures: u64,
    pub(crate) first_failure: Option<String>,
}

impl Sample {
    pub(crate) fn new(counted: Counted, cpu: Duration, peak_kib: u64, foreign: Duration) -> Self {
        let microseconds = |share| counted.latencies.quantile(share).as_nanos() as f64 / 1e3;
        Self {
            calls: counted.calls,
            calls_per_second: counted.calls as f64 / counted.elapsed.as_secs_f64(),
            p50_us: microseconds(0.5),
            p99_us: microseconds(0.99),
            cpu_ms_per_1000: cpu.as_secs_f64() * 1e6 / counted.calls.max(1) as f64,
            peak_kib,
            foreign_cores: foreign.as_secs_f64() / counted.elapsed.as_secs_f64(),
            failures: counted.failures,
            first_failure: counted.first_failure,
        }
    }

    /// Returns the median of each figure, the highest peak and the sum of calls and failures.
    pub(crate) fn median(samples: &[Self]) -> Self {
        let of = |figure: fn(&Self) -> f64| {
            let mut values: Vec<f64> = samples.iter().map(figure).collect();
            values.sort_by(f64::total_cmp);
            values.get(values.len() / 2).copied().unwrap_or_default()
        };
        Self {
            calls: samples.iter().map(|sample| sample.calls).sum(),
            calls_per_second: of(|sample| sample.calls_per_second),
            p50_us: of(|sample| sample.p50_us),
            p99_us: of(|sample| sample.p99_us),
            cpu_ms_per_1000: of(|sample| sample.cpu_ms_per_1000),
            peak_kib: samples.iter().map(|sample| sample.peak_kib).max().unwrap_or_default(),
            foreign_cores: of(|sample| sample.foreign_cores),
            failures: samples.iter().map(|sample| sample.failures).sum(),
            first_failure: samples.iter().find_map(|sample| sample.first_failure.clone()),
        }
    }
}

/// CPU times at the start or the end of the window.
struct Reading {
    system: Cpu,
    others: Vec<Cpu>,
    busy: BusyTime,
}

/// Measures a system under load. `others` are the other processes of this run, whose CPU time is not foreign.
pub(crate) async fn system(system: &System, others: &[u32], load: Load) -> Result<Sample> {
    let process = system.child.id()?;
    systems::reset_peak(&system.child)?;
    let mut readings = Vec::with_capacity(2);
    let counted = load::run(&system.target, load, || {
        let others = others.iter().map(|other| Cpu::read(*other)).collect::<Result<_>>()?;
        readings.push(Reading {
            system: Cpu::read(process)?,
            others,
            busy: BusyTime::read()?,
        });
        Ok(())
    })
    .await?;
    let [start, end] = &readings[..] else {
        return Err("a measurement without two readings".into());
    };
    let cpu = end.system.since(&start.system);
    let ours: Duration = end
        .others
        .iter()
        .zip(&start.others)
        .map(|(end, start)| end.since(start))
        .sum();
    let foreign = end.busy.since(start.busy).saturating_sub(cpu + ours);
    Ok(Sample::new(counted, cpu, system.child.memory_peak()?, foreign))
}
