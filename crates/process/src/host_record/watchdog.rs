//! A small process beside the host that ends the host's servers when the host is killed.

use std::{
    ffi::OsString,
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, Command, Stdio},
};

use super::whole_seconds;
use crate::{ProcessConfig, processes::Token};

/// What it runs: a shell, which every system has, needs no program of the host's own.
const SHELL: &str = "/bin/sh";
const SCRIPT: &str = include_str!("watchdog.sh");

/// The watchdog of a record. It sees the end of its input when the host ends, however it does; dropping this ends it.
#[derive(Debug)]
pub(super) struct Watchdog(Child);

impl Watchdog {
    /// Starts it; `None` where there is no shell.
    pub(super) fn start(record: Option<&Path>, token: &Token, config: &ProcessConfig) -> Option<Self> {
        let mut path = OsString::from("/usr/bin:/bin:");
        path.push(&config.path);
        let child = Command::new(SHELL)
            .args(["-c", SCRIPT, "portolan-watchdog"])
            .arg(record.unwrap_or_else(|| Path::new("")))
            .arg(format!("{}.", token.as_str()))
            .arg(whole_seconds(config.stop_grace).to_string())
            .env_clear()
            .env("PATH", path)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // A signal to the host's group, such as Ctrl-C, is not for it.
            .process_group(0)
            .spawn();
        match child {
            Ok(child) => Some(Self(child)),
            Err(error) => {
                tracing::warn!(%error, "no watchdog: if this process is killed, its servers may go on until the next start");
                None
            }
        }
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        // The servers have ended, and so no process of this host is left. It has no process of its own while it reads.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
