//! Runs the official runner.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::cell::{Cell, Target};
use super::checks::Checks;
use super::processes::Processes;
use super::programs::Programs;

/// The time limit of a cell.
const LIMIT: Duration = Duration::from_secs(900);

/// Runs all scenarios of a cell.
pub(super) fn all(programs: &Programs, cell: &Cell) -> Result<Checks> {
    println!("{}: running …", cell.name);
    let folder = fresh(programs, cell)?;
    let processes = Counterpart::start(programs, cell, &folder)?;
    let results = folder.join("results");
    let mut command = processes.command(programs, cell);
    command.args(cell.scenarios.args()).arg("--output-dir").arg(&results);
    // The runner fails if checks fail, which its results contain.
    wait(&mut command, &folder.join("runner.log"))?;
    Checks::read(&results, cell.role())
}

/// Runs one scenario of a cell with its output; returns whether it passed.
pub(super) fn one(programs: &Programs, cell: &Cell, scenario: &str) -> Result<bool> {
    let folder = fresh(programs, cell)?;
    let processes = Counterpart::start(programs, cell, &folder)?;
    let mut command = processes.command(programs, cell);
    command
        .args(["--scenario", scenario, "--spec-version", cell.scenarios.revision()])
        .args(["--force", "--verbose"]);
    let status = command.stdin(Stdio::null()).status()?;
    for log in ["fixture.log", "gateway.log", "shim.log"] {
        let text = fs::read_to_string(folder.join(log)).unwrap_or_default();
        if !text.trim().is_empty() {
            println!("\n-- {log}\n{}", text.trim());
        }
    }
    println!(
        "\n{}: {scenario} {}",
        cell.name,
        if status.success() { "passed" } else { "FAILED" }
    );
    Ok(status.success())
}

/// The server that the runner connects to, or the client that it starts.
enum Counterpart {
    Server(Processes),
    Client(String),
}

impl Counterpart {
    fn start(programs: &Programs, cell: &Cell, folder: &Path) -> Result<Self> {
        Ok(match cell.target {
            Target::Client => Self::Client(programs.client()?.to_string_lossy().into_owned()),
            target => Self::Server(Processes::start(programs, target, folder)?),
        })
    }

    fn command(&self, programs: &Programs, cell: &Cell) -> Command {
        let mut command = programs.runner();
        command.arg(cell.role());
        match self {
            Self::Server(processes) => command.args(["--url", &processes.url]),
            Self::Client(program) => command.args(["--command", program]),
        };
        command
    }
}

fn fresh(programs: &Programs, cell: &Cell) -> Result<std::path::PathBuf> {
    let folder = programs.results(cell.name);
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    Ok(folder)
}

fn wait(command: &mut Command, log: &Path) -> Result<()> {
    let output = File::create(log)?;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output)
        .spawn()?;
    let start = Instant::now();
    while child.try_wait()?.is_none() {
        if start.elapsed() > LIMIT {
            child.kill()?;
            child.wait()?;
            bail!("no end after {LIMIT:?}: see {}", log.display());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}
