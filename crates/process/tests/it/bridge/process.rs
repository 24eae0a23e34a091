//! Starts the bridge.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal};

use crate::support::{eventually, kill, program};

use super::client::{Client, get};

pub(super) const TOKEN: &str = "t0ken-of-the-test";

/// How long a bridge may take to end in order before it is killed.
const STOP_LIMIT: Duration = Duration::from_secs(1);

/// A running bridge, ended on drop.
pub(super) struct Bridge {
    child: Child,
    pub(super) port: u16,
    pub(super) lines_seen: Arc<Mutex<Vec<String>>>,
}

pub(super) fn binary() -> Command {
    Command::new(env!("CARGO_BIN_EXE_portolan-bridge"))
}

/// Returns the program of the everything server.
pub(super) fn everything() -> String {
    program().replace("process_stdio_fixture", "everything")
}

impl Bridge {
    /// Serves the fixture with these flags and waits until it is ready.
    pub(super) async fn of_fixture(flags: &[&str]) -> Self {
        let program = program();
        let command: Vec<_> = [&program[..]].into_iter().chain(flags.iter().copied()).collect();
        let bridge = Self::start(&[], &command);
        bridge.wait().await;
        bridge
    }

    /// Serves the everything server with these flags and waits until it is ready.
    pub(super) async fn of_everything(own: &[&str], flags: &[&str]) -> Self {
        let program = everything();
        let command: Vec<_> = [&program[..], "--stdio"]
            .into_iter()
            .chain(flags.iter().copied())
            .collect();
        let bridge = Self::start(own, &command);
        bridge.wait().await;
        bridge
    }

    pub(super) fn start(own: &[&str], command: &[&str]) -> Self {
        let mut child = binary()
            .args(["--port", "0"])
            .args(own)
            .arg("--")
            .args(command)
            .env("PORTOLAN_BRIDGE_TOKEN", TOKEN)
            .env("GIVEN", "as it is")
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let lines_seen = Arc::new(Mutex::new(Vec::new()));
        let first = lines.next().unwrap().unwrap();
        let port = first.rsplit(' ').next().unwrap().parse().unwrap_or(0);
        lines_seen.lock().unwrap().push(first);
        let hears = lines_seen.clone();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                hears.lock().unwrap().push(line);
            }
        });
        Self {
            child,
            port,
            lines_seen,
        }
    }

    pub(super) async fn wait(&self) {
        eventually("the bridge is ready", async || {
            get(self.port, "/healthz")
                .await
                .is_ok_and(|answer| answer.status == 200)
        })
        .await;
    }

    pub(super) fn client(&self) -> Client {
        Client::new(self.port)
    }

    pub(super) fn terminate(&self) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        // It may have ended by itself.
        let _ = rustix::process::kill_process(pid, Signal::TERM);
    }

    /// Waits until it has ended by itself.
    pub(super) async fn ended(&mut self) -> ExitStatus {
        let mut status = None;
        eventually("the bridge ends", async || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        })
        .await;
        status.unwrap()
    }

    /// Returns the process id of its server.
    pub(super) fn server(&self) -> Option<u32> {
        let own = self.child.id();
        let children = std::fs::read_to_string(format!("/proc/{own}/task/{own}/children")).ok()?;
        children.split(' ').next()?.parse().ok()
    }

    pub(super) fn kill_server(&self) {
        if let Some(pid) = self.server() {
            kill(pid);
        }
    }

    /// Returns true if it has written a line with this text.
    pub(super) fn has_written(&self, text: &str) -> bool {
        self.lines_seen.lock().unwrap().iter().any(|line| line.contains(text))
    }

    pub(super) async fn writes(&self, text: &str) {
        eventually(text, async || self.has_written(text)).await;
    }

    /// Kills it and its server.
    fn kill_all(&mut self) {
        let server = self.server().and_then(|pid| Pid::from_raw(pid.try_into().ok()?));
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(group) = server {
            let _ = rustix::process::kill_process_group(group, Signal::KILL);
        }
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        let deadline = Instant::now() + STOP_LIMIT;
        while matches!(self.child.try_wait(), Ok(None)) {
            if Instant::now() > deadline {
                self.kill_all();
                return;
            }
            // The second signal ends the wait for calls under way. Drop cannot await: it polls.
            self.terminate();
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}
