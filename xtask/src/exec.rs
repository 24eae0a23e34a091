//! Runs other programs.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::tally::Tally;

const SIGN_OF_LIFE: Duration = Duration::from_secs(10);

/// Runs a command with its output on the terminal, and counts the tests that it reports.
pub(crate) fn stream(command: &mut Command) -> Result<(ExitStatus, Tally)> {
    let shown = show(command);
    println!("$ {shown}");
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot run {shown}"))?;
    let mut tally = Tally::default();
    let mut lines = BufReader::new(child.stdout.take().context("no output to read")?);
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line)? > 0 {
        std::io::stdout().write_all(&line)?;
        tally.read(&String::from_utf8_lossy(&line));
        line.clear();
    }
    Ok((child.wait()?, tally))
}

/// Runs a command, prints its output only if it fails, and reports progress every ten seconds.
pub(crate) fn quietly(what: &str, command: &mut Command, log: &Path, limit: Duration) -> Result<()> {
    println!("{what} …");
    let shown = show(command);
    let output = File::create(log)?;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output)
        .spawn()
        .with_context(|| format!("cannot run {shown}"))?;
    let start = Instant::now();
    let mut told = 0;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        let seconds = start.elapsed().as_secs();
        if start.elapsed() > limit {
            child.kill()?;
            child.wait()?;
            bail!("{shown}: no end after {seconds} s");
        }
        if seconds / SIGN_OF_LIFE.as_secs() > told {
            told = seconds / SIGN_OF_LIFE.as_secs();
            println!("{what}: {seconds} s …");
        }
        std::thread::sleep(Duration::from_millis(100));
    };
    ensure!(status.success(), "{shown}: {status}\n{}", tail(log));
    Ok(())
}

/// Returns the standard output of a command that must succeed.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let shown = show(command);
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot run {shown}"))?;
    ensure!(
        output.status.success(),
        "{shown}: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Returns the command line, with the program's name instead of its path.
pub(crate) fn show(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let name = program.file_name().unwrap_or(program.as_os_str());
    std::iter::once(name)
        .chain(command.get_args())
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}

fn tail(log: &Path) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}
