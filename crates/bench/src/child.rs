//! A process of the run: pinned when started, killed when dropped.

use std::process::Stdio;
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child as Process, ChildStdout, Command};

use crate::pin::{self, Cores};
use crate::{Result, usage};

/// How long a process may take until it listens.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running server process.
#[derive(Debug)]
pub(crate) struct Child {
    process: Process,
    /// Kept open: a server that prints more must not die of it.
    _output: Lines<BufReader<ChildStdout>>,
    /// Where it says that it listens.
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
        let url = tokio::time::timeout(PATIENCE, ready(&mut output))
            .await
            .map_err(|_| format!("{name} did not start within {PATIENCE:?}"))?
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

    /// The peak of memory since the last reset, in KiB.
    pub(crate) fn memory_peak(&self) -> Result<u64> {
        usage::memory(self.id()?, "VmHWM:")
    }

    /// The memory held now, in KiB.
    pub(crate) fn memory_now(&self) -> Result<u64> {
        usage::memory(self.id()?, "VmRSS:")
    }

    /// Ends the process and waits until it is gone.
    pub(crate) async fn end(mut self) -> Result<()> {
        Ok(self.process.kill().await?)
    }
}

/// Starts a process on a core: it inherits the place of the thread that starts it.
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
    Err("it ended before it listened".into())
}
