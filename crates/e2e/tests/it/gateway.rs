//! The gateway under test, as a process of its own.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use tempfile::NamedTempFile;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::parts;
use crate::server::Target;

const TOKEN: &str = "end-to-end";
const READY: &str = "listening on ";
const LIMIT: Duration = Duration::from_secs(30);
/// How long its end may take. Clients of the same test cannot let go meanwhile.
const ORDERLY: Duration = Duration::from_secs(1);

/// The naming of tools by the gateway.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Naming {
    Plain,
    Prefix,
}

/// A running gateway; it ends when dropped.
#[derive(Debug)]
pub(crate) struct Gateway {
    pub(crate) target: Target,
    log: NamedTempFile,
    process: Child,
}

impl Gateway {
    /// Starts a gateway in front of these servers. At most one of them may be a process, and it must be the last.
    pub(crate) async fn start(naming: Naming, servers: &[(&str, &Target)]) -> Result<Self> {
        Self::start_with(naming, servers, &[]).await
    }

    /// Starts a gateway with more options.
    pub(crate) async fn start_with(naming: Naming, servers: &[(&str, &Target)], options: &[&str]) -> Result<Self> {
        Self::start_among(naming, servers, options, &[]).await
    }

    /// Starts a gateway with options and environment variables.
    pub(crate) async fn start_among(
        naming: Naming,
        servers: &[(&str, &Target)],
        options: &[&str],
        environment: &[(&str, &Path)],
    ) -> Result<Self> {
        let log = NamedTempFile::new()?;
        let mut command = Command::new(parts::gateway()?);
        command.args(["--listen", "127.0.0.1:0", "--token", TOKEN, "--naming"]);
        command.arg(format!("{naming:?}").to_lowercase()).args(options);
        for (at, (name, target)) in servers.iter().enumerate() {
            match target {
                Target::Http { url, .. } => command.arg(format!("{name}={url}")),
                Target::Stdio(words) => {
                    ensure!(at + 1 == servers.len(), "a process must come last");
                    command.arg(format!("{name}=stdio:{}", words[0])).args(&words[1..])
                }
            };
        }
        let mut process = command
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log.reopen()?)
            .kill_on_drop(true)
            .spawn()
            .context("cannot start the gateway")?;
        let stdout = process.stdout.take().context("no output to read")?;
        let ready = tokio::time::timeout(LIMIT, ready(stdout)).await;
        let url = match ready {
            Ok(Ok(url)) => url,
            Ok(Err(error)) => bail!("{error:#}\n{}", read(&log)),
            Err(_) => bail!("the gateway is not ready after {LIMIT:?}\n{}", read(&log)),
        };
        Ok(Self {
            target: Target::Http {
                url,
                token: TOKEN.to_owned(),
            },
            log,
            process,
        })
    }

    /// What it has logged so far.
    pub(crate) fn log(&self) -> String {
        read(&self.log)
    }

    /// Adds what the gateway logged to what went wrong.
    pub(crate) fn explain<T>(&self, result: Result<T>) -> Result<T> {
        result.with_context(|| format!("the gateway's log:\n{}\n", read(&self.log)))
    }
}

/// It ends in order, and so do the servers that it has started: killed, it would leave behind those that do not end with
/// their input.
impl Drop for Gateway {
    fn drop(&mut self) {
        let id = self
            .process
            .id()
            .and_then(|id| rustix::process::Pid::from_raw(id.cast_signed()));
        let Some(id) = id else { return };
        let _ = rustix::process::kill_process(id, rustix::process::Signal::INT);
        let since = Instant::now();
        while since.elapsed() < ORDERLY && matches!(self.process.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// The address that the gateway announces. Whatever else it prints is read and forgotten.
async fn ready(stdout: tokio::process::ChildStdout) -> Result<String> {
    let mut lines = BufReader::new(stdout).lines();
    while let Some(line) = lines.next_line().await? {
        if let Some(url) = line.strip_prefix(READY) {
            let url = url.trim().to_owned();
            tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
            return Ok(url);
        }
    }
    bail!("the gateway ended before it was ready")
}

fn read(log: &NamedTempFile) -> String {
    std::fs::read_to_string(log.path()).unwrap_or_default()
}
