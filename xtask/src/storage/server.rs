//! A private PostgreSQL.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use super::{free_port, tail, user::User};
use crate::exec;

const LIMIT: Duration = Duration::from_secs(30);
const NAME: &str = "portolan";

/// A running server, which trusts everybody on this machine and ends when this is dropped.
#[derive(Debug)]
pub(super) struct Server {
    child: Child,
    port: u16,
}

impl Server {
    pub(super) fn start(programs: &Path, folder: &Path, user: &User) -> Result<Self> {
        let data = folder.join("data");
        exec::output(
            user.command(&programs.join("initdb"))
                .arg("-D")
                .arg(&data)
                .args(["-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C", "-N"])
                .current_dir(folder),
        )?;
        let port = free_port()?;
        let log = folder.join("postgres.log");
        let output = File::create(&log)?;
        let mut command = user.command(&programs.join("postgres"));
        command
            .arg("-D")
            .arg(&data)
            .arg("-k")
            .arg(folder)
            .args(["-p", &port.to_string()])
            // Nobody pulls the plug of a test, and a killed process loses nothing without fsync.
            .args([
                "-c",
                "listen_addresses=127.0.0.1",
                "-c",
                "fsync=off",
                "-c",
                "max_connections=300",
            ])
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output);
        let server = Self {
            child: command.spawn()?,
            port,
        };
        server.make_database(programs, &log)?;
        Ok(server)
    }

    pub(super) fn address(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{NAME}", self.port)
    }

    fn make_database(&self, programs: &Path, log: &Path) -> Result<()> {
        let start = Instant::now();
        let make = || {
            let mut command = Command::new(programs.join("createdb"));
            command.args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-U", "postgres", NAME]);
            exec::output(&mut command)
        };
        while let Err(error) = make() {
            if start.elapsed() > LIMIT {
                bail!("PostgreSQL does not start: {error:#}\n{}", tail(log));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // SIGQUIT: at once. A killed postmaster would leave its children.
        if let Ok(pid) = i32::try_from(self.child.id())
            && let Some(pid) = Pid::from_raw(pid)
        {
            let _ = kill_process(pid, Signal::QUIT);
        }
        let _ = self.child.wait();
    }
}
