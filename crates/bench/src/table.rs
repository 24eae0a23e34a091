//! Prints the results as a table.

use crate::idle::DISTURBED_CORES;
use crate::measure::Sample;
use crate::report::{CellReport, Report};
use crate::systems::{Start, SystemName};

/// Prints a report.
pub(crate) fn print(report: &Report) {
    println!("\n{}, Linux {}", report.machine.processor, report.machine.kernel);
    println!(
        "{} s x {}, medians; CPU in ms per 1000 calls, latency in us, memory in MiB\n",
        report.seconds, report.repeat
    );
    print_starts("", &report.starts);
    print_starts("stdio ", &report.stdio_starts);
    println!();
    println!(
        "{:<24} {:>8} {:>8} | {:>8} {:>6} {:>7} {:>8} {:>8} | {:>8} {:>6} {:>7} {:>8} {:>8} {:>6} | {:>7} {:>7}",
        "",
        "direct",
        "CPU",
        "hyper",
        "of dir",
        "p50",
        "p99",
        "CPU",
        "gateway",
        "of dir",
        "p50",
        "p99",
        "CPU",
        "peak",
        "CPU/hyp",
        "failed",
    );
    for cell in &report.cells {
        println!("{}", row(cell));
    }
    println!("\n{} failed calls", report.failures);
    if report.foreign_cores > DISTURBED_CORES {
        println!(
            "DISTURBED: other processes took up to {:.2} cores in a cell",
            report.foreign_cores
        );
    }
}

fn print_starts(prefix: &str, starts: &[Start]) {
    for start in starts {
        println!(
            "{prefix}{:?}: {:.1} MiB idle, {:.1} MiB after the first calls, first call after {:.1} ms",
            start.system,
            mebibytes(start.idle_kib),
            mebibytes(start.after_first_call_kib),
            start.first_call_ms,
        );
    }
}

fn row(cell: &CellReport) -> String {
    let failed: u64 = cell.systems.iter().map(|system| system.median.failures).sum();
    let direct = cell.median(SystemName::Direct);
    format!(
        "{:<24} {:>8} {:>8} | {} | {} {:>6} | {:>7} {:>7}",
        cell.name,
        number(direct.map(|median| median.calls_per_second), 0),
        number(direct.map(|median| median.cpu_ms_per_1000), 1),
        columns(cell.median(SystemName::Hyper), cell.hyper_rate_to_direct),
        columns(cell.median(SystemName::Gateway), cell.gateway_rate_to_direct),
        number(
            cell.median(SystemName::Gateway)
                .map(|median| mebibytes(median.peak_kib)),
            1
        ),
        number(cell.gateway_cpu_to_hyper, 2),
        failed,
    )
}

fn columns(median: Option<&Sample>, rate_to_direct: Option<f64>) -> String {
    format!(
        "{:>8} {:>6} {:>7} {:>8} {:>8}",
        number(median.map(|median| median.calls_per_second), 0),
        rate_to_direct.map_or_else(|| "-".into(), |ratio| format!("{:.0}%", ratio * 100.0)),
        number(median.map(|median| median.p50_us), 0),
        number(median.map(|median| median.p99_us), 0),
        number(median.map(|median| median.cpu_ms_per_1000), 1),
    )
}

fn number(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(|| "-".into(), |value| format!("{value:.digits$}"))
}

fn mebibytes(kib: u64) -> f64 {
    kib as f64 / 1024.0
}
