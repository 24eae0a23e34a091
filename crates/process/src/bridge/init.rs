//! The duties of the first process of a container: forwarding signals and reaping orphans.

use std::{
    ffi::OsString,
    io,
    process::{Command, ExitCode},
};

use rustix::process::{Pid, WaitOptions, WaitStatus, kill_process, wait};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::stderr::eprint_line;

/// Runs the bridge as a child and ends with its exit code. The kernel then kills what is left in the container.
pub(super) fn run(args: &[OsString]) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let ended = runtime.and_then(|runtime| runtime.block_on(supervise(args)));
    ended.unwrap_or_else(|error| {
        eprint_line(&format!("cannot run as the first process: {error}"));
        ExitCode::from(71)
    })
}

async fn supervise(args: &[OsString]) -> io::Result<ExitCode> {
    // Before there is a child, so that no signal is missed.
    let mut ended = signal(SignalKind::child())?;
    let mut forwarded = ForwardedSignals::new()?;
    // Hides the token from the server: the environment of this process has it too.
    let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
    let child = Command::new(std::env::current_exe()?).args(args).spawn()?;
    let child = i32::try_from(child.id())
        .ok()
        .and_then(Pid::from_raw)
        .ok_or(io::ErrorKind::NotFound)?;
    loop {
        if let Some(code) = reap(child)? {
            return Ok(code);
        }
        tokio::select! {
            _ = ended.recv() => {}
            signal = forwarded.next() => {
                let _ = kill_process(child, signal);
            }
        }
    }
}

/// Reaps all processes that have ended. Returns the exit code if the child is among them.
fn reap(child: Pid) -> io::Result<Option<ExitCode>> {
    while let Some((pid, status)) = wait(WaitOptions::NOHANG)? {
        if pid == child {
            return Ok(Some(code(status)));
        }
    }
    Ok(None)
}

fn code(status: WaitStatus) -> ExitCode {
    let code = status
        .exit_status()
        .or_else(|| status.terminating_signal().map(|signal| 128 + signal));
    ExitCode::from(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}

/// The signals that are forwarded to the bridge.
struct ForwardedSignals {
    term: Signal,
    int: Signal,
    quit: Signal,
    hup: Signal,
}

impl ForwardedSignals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            term: signal(SignalKind::terminate())?,
            int: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
            hup: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> rustix::process::Signal {
        tokio::select! {
            _ = self.term.recv() => rustix::process::Signal::TERM,
            _ = self.int.recv() => rustix::process::Signal::INT,
            _ = self.quit.recv() => rustix::process::Signal::TERM,
            _ = self.hup.recv() => rustix::process::Signal::TERM,
        }
    }
}
