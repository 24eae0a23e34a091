//! The processes of a cell, from the fixture server to what the suite talks to.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::cell::{Target, Upstream};
use super::programs::Programs;

/// The suite cannot send it, so a proxy in front of the gateway adds it.
const TOKEN: &str = "conformance";

/// How long a process may take until it says where it listens.
const LIMIT: Duration = Duration::from_secs(30);

/// Everything that runs for a cell; it ends when dropped.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) url: String,
    _processes: Vec<Process>,
}

impl Stage {
    /// Starts what the suite runs against. The processes' logs go to `folder`.
    pub(super) fn set(programs: &Programs, target: Target, folder: &Path) -> Result<Self> {
        let (Target::Direct(Upstream(flags)) | Target::Gateway(Upstream(flags))) = target else {
            anyhow::bail!("in the role of the client, the suite is the server");
        };
        let (fixture, mut url) = Process::start(programs.fixture().args(flags), &folder.join("fixture.log"))?;
        let mut processes = vec![fixture];
        if matches!(target, Target::Gateway(_)) {
            let mut command = programs.gateway();
            command.args([
                "--listen",
                "127.0.0.1:0",
                "--token",
                TOKEN,
                "--naming",
                "plain",
                "--asks-all",
            ]);
            command.arg(format!("everything={url}"));
            let (gateway, behind) = Process::start(&mut command, &folder.join("gateway.log"))?;
            let mut command = programs.fixture();
            command.args(["--shim", &behind, "--token", TOKEN]);
            let (shim, front) = Process::start(&mut command, &folder.join("shim.log"))?;
            processes.extend([gateway, shim]);
            // What the suite talks to goes first when all of it ends.
            processes.reverse();
            url = front;
        }
        Ok(Self {
            url,
            _processes: processes,
        })
    }
}

/// A process that has said where it listens.
#[derive(Debug)]
struct Process(Child);

impl Process {
    /// Starts a process and waits for its first line, the last word of which is a URL.
    fn start(command: &mut Command, log: &Path) -> Result<(Self, String)> {
        let name = Path::new(command.get_program()).display().to_string();
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(log)?)
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        let stdout = child.stdout.take().context("no output to read")?;
        let process = Self(child);
        let (sender, receiver) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        let line = receiver.recv_timeout(LIMIT).unwrap_or_default();
        let url = line.split_whitespace().last().unwrap_or_default();
        ensure!(
            url.starts_with("http://"),
            "{name} does not listen: {}",
            fs::read_to_string(log).unwrap_or_default().trim()
        );
        Ok((process, url.to_owned()))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
