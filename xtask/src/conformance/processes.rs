//! The processes of a cell: the fixture server, the gateway, and a proxy that adds the token.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::cell::{Target, Upstream};
use super::programs::Programs;

/// The caller's token. The suite cannot send it, so a proxy in front of the gateway adds it.
const TOKEN: &str = "conformance";

/// The time that a process has to print its address.
const LIMIT: Duration = Duration::from_secs(30);

/// The processes of a cell, which are killed on drop.
#[derive(Debug)]
pub(super) struct Processes {
    pub(super) url: String,
    _processes: Vec<Process>,
}

impl Processes {
    /// Starts the processes. Their logs go to `folder`.
    pub(super) fn start(programs: &Programs, target: Target, folder: &Path) -> Result<Self> {
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
            // The process that the suite connects to ends first.
            processes.reverse();
            url = front;
        }
        Ok(Self {
            url,
            _processes: processes,
        })
    }
}

/// A process that has printed its address.
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
