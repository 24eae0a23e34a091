//! What a run found out, as it is written to the JSON file.

use std::fs;

use serde::Serialize;

use crate::args::RunOptions;
use crate::cell::Cell;
use crate::measure::Sample;
use crate::pin::Cores;
use crate::systems::{Name, Start};

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
    /// The most CPU that strangers took in any cell (median of its measurements), as a share of one core.
    pub(crate) foreign_cores: f64,
}

/// Where it was measured.
#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    pub(crate) processor: String,
    pub(crate) kernel: String,
    pub(crate) load_core: usize,
    pub(crate) measured_core: usize,
}

/// One cell.
#[derive(Debug, Serialize)]
pub(crate) struct CellReport {
    pub(crate) name: String,
    #[serde(flatten)]
    pub(crate) cell: Cell,
    pub(crate) systems: Vec<SystemReport>,
    /// The gateway's CPU per call, divided by the bare proxy's.
    pub(crate) gateway_cpu_to_hyper: Option<f64>,
    /// The gateway's calls per second, divided by those without it.
    pub(crate) gateway_rate_to_direct: Option<f64>,
    /// The bare proxy's calls per second, divided by those without it.
    pub(crate) hyper_rate_to_direct: Option<f64>,
}

/// One system in one cell.
#[derive(Debug, Serialize)]
pub(crate) struct SystemReport {
    pub(crate) system: Name,
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

    /// Sums up.
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
    pub(crate) fn new(cell: Cell, samples: Vec<(Name, Vec<Sample>)>) -> Self {
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
        report.gateway_cpu_to_hyper = report.ratio(Name::Gateway, Name::Hyper, |median| median.cpu_ms_per_1000);
        report.gateway_rate_to_direct = report.ratio(Name::Gateway, Name::Direct, |median| median.calls_per_second);
        report.hyper_rate_to_direct = report.ratio(Name::Hyper, Name::Direct, |median| median.calls_per_second);
        report
    }

    pub(crate) fn median(&self, name: Name) -> Option<&Sample> {
        self.systems
            .iter()
            .find(|system| system.system == name)
            .map(|system| &system.median)
    }

    fn ratio(&self, above: Name, below: Name, figure: fn(&Sample) -> f64) -> Option<f64> {
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
