//! The processes of the cluster, each in a session of its own, with a pid file and a log file.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use super::site::{self, STATE};

/// The environment variable that identifies our processes. Container shims inherit it; a pid alone may have been reused.
const MARK: &str = "PORTOLAN_CLUSTER";

const KILL_LIMIT: Duration = Duration::from_secs(15);

/// Starts `program` as the process `name`.
pub(super) fn start(name: &str, program: &Path, args: &[String], path: &str) -> Result<()> {
    let log = log_file(name);
    for folder in ["log", "run"] {
        fs::create_dir_all(site::path(folder))?;
    }
    let output = File::create(&log)?;
    let child = Command::new("setsid")
        .arg(program)
        .args(args)
        .current_dir(STATE)
        .env(MARK, STATE)
        .env("PATH", path)
        .env_remove("KUBECONFIG")
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output)
        .spawn()
        .with_context(|| format!("cannot start {}", program.display()))?;
    // The pid stays the same: the child leads no process group, so setsid does not fork.
    fs::write(pid_file(name), child.id().to_string())?;
    Ok(())
}

/// Returns the pid of the process `name`, if it runs.
pub(super) fn pid(name: &str) -> Option<i32> {
    let pid = fs::read_to_string(pid_file(name)).ok()?.trim().parse().ok()?;
    (is_ours(pid) && runs(pid)).then_some(pid)
}

pub(super) fn is_up(name: &str) -> bool {
    pid(name).is_some()
}

/// Kills all processes with our environment variable.
pub(super) fn kill_all() -> Result<()> {
    kill_until_gone("processes of the cluster", || {
        all_pids().into_iter().filter(|&pid| is_ours(pid)).collect()
    })
}

/// Kills what `list` returns until it returns nothing and all listed processes are gone: a process that is exiting has
/// lost its environment, but still holds its ports.
pub(super) fn kill_until_gone(what: &str, list: impl Fn() -> Vec<i32>) -> Result<()> {
    let start = Instant::now();
    let mut pids = Vec::new();
    loop {
        pids.extend(list());
        pids.sort_unstable();
        pids.dedup();
        pids.retain(|&pid| runs(pid));
        if pids.is_empty() {
            return Ok(());
        }
        if start.elapsed() > KILL_LIMIT {
            bail!("{what} are still running: {pids:?}");
        }
        for pid in pids.iter().filter_map(|&pid| Pid::from_raw(pid)) {
            // An error means that the process has just ended.
            let _ = kill_process(pid, Signal::KILL);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Returns the resident memory of a process, in bytes.
pub(super) fn memory(pid: i32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kilobytes.unwrap_or_default() * 1024
}

/// Returns the last lines of the log of a process, for a message.
pub(super) fn last_lines(name: &str) -> String {
    let text = fs::read(log_file(name)).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    let end = lines[lines.len().saturating_sub(15)..].join("\n");
    format!("the last lines of its log:\n{end}")
}

fn log_file(name: &str) -> PathBuf {
    site::path(&format!("log/{name}.log"))
}

fn pid_file(name: &str) -> PathBuf {
    site::path(&format!("run/{name}.pid"))
}

fn all_pids() -> Vec<i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect()
}

fn is_ours(pid: i32) -> bool {
    let mark = format!("{MARK}={STATE}");
    let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    environment.split(|&byte| byte == 0).any(|one| one == mark.as_bytes())
}

/// Returns whether the process is not a zombie.
fn runs(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat
        .rsplit_once(')')
        .and_then(|(_, rest)| rest.trim_start().chars().next());
    state.is_some_and(|state| !matches!(state, 'Z' | 'X'))
}
