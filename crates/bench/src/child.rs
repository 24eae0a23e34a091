//! A child process that is pinned to a core when it starts and killed when it is dropped.

use std::process::Stdio;
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child as Process, ChildStdout, Command};

use crate::pin::{self, Cores};
use crate::{Result, usage};

/// The time that a process has to print its address.
const START_TIMEOUT: Duration = Duration::from_secs(20);

/// A running server process.
#[derive(Debug)]
pub(crate) struct Child {
    process: Process,
    /// Kept open, so that a server that prints more does not get a broken pipe.
    _output: Lines<BufReader<ChildStdout>>,
    /// The URL that the process printed.
    pub(crate) url: String,
    pub(crate) started: Instant,
}

impl Child {
    /// Starts a server and waits for its line `listening on URL`.
    pub(crate) async fn start(mut command: Command, core: usize, cores: Cores) -> Result<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
        let name = command.as_std().get_program().to_string_lossy().into_owned();
        let started = Instant::now();
        let mut process = spawn_on(&mut command, core, cores)?;
        let output = process.stdout.take().ok_or("a process without stdout")?;
        let mut output = BufReader::new(output).lines();
        let url = tokio::time::timeout(START_TIMEOUT, ready(&mut output))
            .await
            .map_err(|_| format!("{name} did not start within {START_TIMEOUT:?}"))?
            .map_err(|problem| format!("{name} did not start: {problem}"))?;
        Ok(Self {
            process,
            _output: output,
            url,
            started,
        })
    }

    pub(crate) fn id(&self) -> Result<u32> {
        self.process.id().ok_or_else(|| "the process has ended".into())
    }

    /// Returns the peak of resident memory since the last reset, in KiB.
    pub(crate) fn memory_peak(&self) -> Result<u64> {
        usage::memory(self.id()?, "VmHWM:")
    }

    /// Returns the resident memory, in KiB.
    pub(crate) fn memory_now(&self) -> Result<u64> {
        usage::memory(self.id()?, "VmRSS:")
    }

    /// Kills the process and waits for it.
    pub(crate) async fn end(mut self) -> Result<()> {
        Ok(self.process.kill().await?)
    }
}

/// Starts a process on a core: it inherits the affinity of the thread that starts it.
pub(crate) fn spawn_on(command: &mut Command, core: usize, cores: Cores) -> Result<Process> {
    let name = command.as_std().get_program().to_string_lossy().into_owned();
    pin::to(core)?;
    let spawned = command.spawn();
    pin::to(cores.load)?;
    spawned.map_err(|problem| format!("cannot start {name}: {problem}").into())
}

async fn ready(output: &mut Lines<BufReader<ChildStdout>>) -> Result<String> {
    while let Some(line) = output.next_line().await? {
        if let Some(url) = line.trim().strip_prefix("listening on ") {
            return Ok(url.to_owned());
        }
    }
    Err("it ended before it printed its address".into())
}
