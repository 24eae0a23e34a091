//! The measuring run.

use std::path::Path;
use std::time::{Duration, Instant};

use tokio::signal::unix::{SignalKind, signal};

use crate::args::{Gateway, RunOptions};
use crate::cell::{self, Cell, Transport};
use crate::load::Load;
use crate::measure::{self, Sample};
use crate::pin::{self, Cores};
use crate::report::{CellReport, Report};
use crate::systems::{self, System, SystemName};
use crate::{Result, idle, stdio, table};

/// The pause between two measurements, in which connections close.
const PAUSE: Duration = Duration::from_millis(100);

/// Runs to the end or until a signal, and ends all child processes. Returns whether no call failed.
pub(crate) async fn run_until_signal(options: RunOptions) -> Result<bool> {
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        done = run(options) => done,
        _ = tokio::signal::ctrl_c() => Err("interrupted".into()),
        _ = terminate.recv() => Err("terminated".into()),
    }
}

async fn run(options: RunOptions) -> Result<bool> {
    let cores = Cores::choose()?;
    if !cores.are_apart() {
        eprintln!("one core only: load, upstream and the measured system share it, so the figures are not comparable");
    }
    pin::to(cores.load)?;
    let cells = cell::chosen(&options);
    let mut report = Report::new(&options, cores);
    let done = measure_all(&options, cores, &cells, &mut report).await;
    // A run that fails still prints the cells before the failure.
    if !report.cells.is_empty() {
        report.finish();
        table::print(&report);
        if let Some(path) = &options.json {
            std::fs::write(path, serde_json::to_vec_pretty(&report)?)?;
            eprintln!("written to {}", path.display());
        }
    }
    done?;
    if report.cells.is_empty() {
        return Err("no cell was measured".into());
    }
    Ok(report.failures == 0)
}

async fn measure_all(options: &RunOptions, cores: Cores, cells: &[Cell], report: &mut Report) -> Result<()> {
    over_http(options, cores, cells, report).await?;
    over_stdio(options, cores, cells, report).await
}

async fn over_http(options: &RunOptions, cores: Cores, cells: &[Cell], report: &mut Report) -> Result<()> {
    let cells: Vec<Cell> = cells
        .iter()
        .filter(|cell| cell.transport == Transport::Http)
        .copied()
        .collect();
    for (at, cell) in cells.iter().enumerate() {
        eprint!("{:>3}/{} {cell}", at + 1, cells.len());
        // New processes for each cell: buffers and TCP windows of pooled connections grow with large responses, and
        // the order of the cells would influence the figures.
        let running = start_all(options, cores).await?;
        if report.starts.is_empty() {
            report.starts.extend(running.iter().map(|system| system.start));
        }
        report.cells.push(http_cell(options, *cell, &running).await?);
        progress(report);
        for system in running {
            system.child.end().await?;
        }
    }
    Ok(())
}

/// Starts the upstream, then the proxy and the gateway.
async fn start_all(options: &RunOptions, cores: Cores) -> Result<Vec<System>> {
    let direct = System::start(SystemName::Direct, systems::upstream()?, cores.load, cores).await?;
    let url = direct.child.url.clone();
    let hyper = System::start(SystemName::Hyper, systems::proxy(&url)?, cores.measured, cores).await?;
    let mut running = vec![direct, hyper];
    if let Some(gateway) = options.gateway() {
        running.push(start_gateway(&gateway, &url, cores).await?);
    }
    Ok(running)
}

async fn http_cell(options: &RunOptions, cell: Cell, running: &[System]) -> Result<CellReport> {
    let mut samples: Vec<(SystemName, Vec<Sample>)> = running.iter().map(|system| (system.name, Vec::new())).collect();
    let upstream = running.first().ok_or("no system is running")?.child.id()?;
    for _ in 0..options.repeat {
        for (system, (_, samples)) in running.iter().zip(&mut samples) {
            let this = std::process::id();
            let others: &[u32] = if system.name == SystemName::Direct {
                &[this]
            } else {
                &[this, upstream]
            };
            samples.push(measure_undisturbed(options, system, others, load(options, cell)).await?);
            tokio::time::sleep(PAUSE).await;
        }
    }
    Ok(CellReport::new(cell, samples))
}

/// Measures, and repeats that while other processes disturb it and there is time.
async fn measure_undisturbed(options: &RunOptions, system: &System, others: &[u32], load: Load) -> Result<Sample> {
    let until = Instant::now() + options.quiet;
    loop {
        idle::wait_for_idle(until).await?;
        let sample = measure::system(system, others, load).await?;
        if sample.failures > 0 || sample.foreign_cores <= idle::DISTURBED_CORES || Instant::now() >= until {
            return Ok(sample);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn over_stdio(options: &RunOptions, cores: Cores, cells: &[Cell], report: &mut Report) -> Result<()> {
    let cells: Vec<Cell> = cells
        .iter()
        .filter(|cell| cell.transport == Transport::Stdio)
        .copied()
        .collect();
    let Some(server) = options.stdio().filter(|_| !cells.is_empty()) else {
        return Ok(());
    };
    let program = server.line.split_whitespace().next().unwrap_or_default();
    if !server.is_required && !Path::new(program).exists() {
        eprintln!("no {program}: the stdio cells are left out");
        return Ok(());
    }
    let line = full_path(&server.line);
    let gateway = match options.gateway() {
        Some(gateway) => Some(start_gateway(&gateway, &format!("stdio:{line}"), cores).await?),
        None => None,
    };
    report
        .stdio_starts
        .extend(gateway.as_ref().map(|gateway| gateway.start));
    for (at, cell) in cells.iter().enumerate() {
        eprint!("{:>3}/{} {cell}", at + 1, cells.len());
        report
            .cells
            .push(stdio_cell(options, *cell, &line, gateway.as_ref(), cores).await?);
        progress(report);
    }
    match gateway {
        Some(gateway) => gateway.child.end().await,
        None => Ok(()),
    }
}

/// Makes the path of the program absolute, as the gateway requires.
fn full_path(line: &str) -> String {
    let (program, rest) = line.split_once(' ').unwrap_or((line, ""));
    match Path::new(program).canonicalize() {
        Ok(path) if program.contains('/') => format!("{} {rest}", path.display()).trim_end().to_owned(),
        _ => line.to_owned(),
    }
}

async fn stdio_cell(
    options: &RunOptions,
    cell: Cell,
    line: &str,
    gateway: Option<&System>,
    cores: Cores,
) -> Result<CellReport> {
    let mut direct = Vec::new();
    let mut through = Vec::new();
    for _ in 0..options.repeat {
        direct.push(stdio::measure(line, load(options, cell), cores).await?);
        tokio::time::sleep(PAUSE).await;
        if let Some(gateway) = gateway {
            let mut sample = measure::system(gateway, &[std::process::id()], load(options, cell)).await?;
            // The stdio server is the gateway's child, so its CPU time would count as foreign.
            sample.foreign_cores = 0.0;
            through.push(sample);
            tokio::time::sleep(PAUSE).await;
        }
    }
    let mut samples = vec![(SystemName::Direct, direct)];
    samples.extend(gateway.map(|gateway| (gateway.name, through)));
    Ok(CellReport::new(cell, samples))
}

async fn start_gateway(gateway: &Gateway, upstream: &str, cores: Cores) -> Result<System> {
    let command = systems::gateway(gateway, upstream)?;
    System::start(SystemName::Gateway, command, cores.measured, cores).await
}

fn load(options: &RunOptions, cell: Cell) -> Load {
    Load {
        era: cell.era,
        clients: cell.clients,
        bytes: cell.bytes,
        warm_up: options.warm_up,
        window: options.window(),
    }
}

/// Prints the last cell.
fn progress(report: &Report) {
    let Some(cell) = report.cells.last() else { return };
    for system in &cell.systems {
        let Sample {
            calls_per_second,
            cpu_ms_per_1000,
            failures,
            ..
        } = &system.median;
        eprint!("  {:?} {calls_per_second:.0}/s {cpu_ms_per_1000:.1} ms", system.system);
        if *failures > 0 {
            eprint!(
                " ({failures} FAILED: {})",
                system.median.first_failure.as_deref().unwrap_or("?")
            );
        }
    }
    eprintln!();
}
