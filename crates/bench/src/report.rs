//! The results of a run, as written to the JSON file.

use std::fs;

use serde::Serialize;

use crate::args::RunOptions;
use crate::cell::Cell;
use crate::measure::Sample;
use crate::pin::Cores;
use crate::systems::{Start, SystemName};

/// All figures of a run.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) machine: Machine,
    pub(crate) seconds: f64,
    pub(crate) repeat: u32,
    pub(crate) gateway: Option<String>,
    pub(crate) starts: Vec<Start>,
    pub(crate) stdio_starts: Vec<Start>,
    pub(crate) cells: Vec<CellReport>,
    pub(crate) failures: u64,
    /// The most CPU time of other processes in any cell (median of its measurements), as a share of one core.
    pub(crate) foreign_cores: f64,
}

/// The machine.
#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    pub(crate) processor: String,
    pub(crate) kernel: String,
    pub(crate) load_core: usize,
    pub(crate) measured_core: usize,
}

/// One combination of transport, era, clients and result size.
#[derive(Debug, Serialize)]
pub(crate) struct CellReport {
    pub(crate) name: String,
    #[serde(flatten)]
    pub(crate) cell: Cell,
    pub(crate) systems: Vec<SystemReport>,
    /// The gateway's CPU per call, divided by the bare proxy's.
    pub(crate) gateway_cpu_to_hyper: Option<f64>,
    /// The gateway's calls per second, divided by those of the upstream alone.
    pub(crate) gateway_rate_to_direct: Option<f64>,
    /// The bare proxy's calls per second, divided by those of the upstream alone.
    pub(crate) hyper_rate_to_direct: Option<f64>,
}

/// One system in one cell.
#[derive(Debug, Serialize)]
pub(crate) struct SystemReport {
    pub(crate) system: SystemName,
    pub(crate) median: Sample,
    pub(crate) samples: Vec<Sample>,
}

impl Report {
    pub(crate) fn new(options: &RunOptions, cores: Cores) -> Self {
        let machine = Machine {
            processor: processor(),
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease")
                .unwrap_or_default()
                .trim()
                .to_owned(),
            load_core: cores.load,
            measured_core: cores.measured,
        };
        Self {
            machine,
            seconds: options.window().as_secs_f64(),
            repeat: options.repeat,
            gateway: options.gateway().map(|gateway| gateway.program.display().to_string()),
            starts: Vec::new(),
            stdio_starts: Vec::new(),
            cells: Vec::new(),
            failures: 0,
            foreign_cores: 0.0,
        }
    }

    /// Computes the totals.
    pub(crate) fn finish(&mut self) {
        let medians = || {
            self.cells
                .iter()
                .flat_map(|cell| &cell.systems)
                .map(|system| &system.median)
        };
        self.failures = medians().map(|median| median.failures).sum();
        self.foreign_cores = medians().map(|median| median.foreign_cores).fold(0.0, f64::max);
    }
}

impl CellReport {
    pub(crate) fn new(cell: Cell, samples: Vec<(SystemName, Vec<Sample>)>) -> Self {
        let systems = samples
            .into_iter()
            .map(|(system, samples)| SystemReport {
                system,
                median: Sample::median(&samples),
                samples,
            })
            .collect();
        let mut report = Self {
            name: cell.to_string(),
            cell,
            systems,
            gateway_cpu_to_hyper: None,
            gateway_rate_to_direct: None,
            hyper_rate_to_direct: None,
        };
        report.gateway_cpu_to_hyper =
            report.ratio(SystemName::Gateway, SystemName::Hyper, |median| median.cpu_ms_per_1000);
        report.gateway_rate_to_direct = report.ratio(SystemName::Gateway, SystemName::Direct, |median| {
            median.calls_per_second
        });
        report.hyper_rate_to_direct =
            report.ratio(SystemName::Hyper, SystemName::Direct, |median| median.calls_per_second);
        report
    }

    pub(crate) fn median(&self, name: SystemName) -> Option<&Sample> {
        self.systems
            .iter()
            .find(|system| system.system == name)
            .map(|system| &system.median)
    }

    fn ratio(&self, above: SystemName, below: SystemName, figure: fn(&Sample) -> f64) -> Option<f64> {
        let ratio = figure(self.median(above)?) / figure(self.median(below)?);
        ratio.is_finite().then_some(ratio)
    }
}

fn processor() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = text.lines().find_map(|line| line.strip_prefix("model name"));
    model
        .map(|rest| rest.trim_start_matches([' ', '\t', ':']).to_owned())
        .unwrap_or_default()
}
