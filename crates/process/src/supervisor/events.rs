//! The lifecycle events of servers, for `tracing` subscribers. The crate docs list them: they are part of the interface.

use std::time::Duration;

use portolan_core::{Failure, FailureKind};

/// The target of all of them.
const TARGET: &str = "portolan_process";

/// A process was spawned. `start` counts the starts of this server, from 1.
pub(crate) fn started(server: &str, pid: Option<u32>, start: u32) {
    tracing::info!(target: TARGET, server, pid, start, "server started");
}

/// Calls go through from now on. `version` is the protocol version, where the server is reached by stdio.
pub(crate) fn ready(server: &str, pid: Option<u32>, version: Option<&str>, restarts: u32) {
    tracing::info!(target: TARGET, server, pid, version, restarts, "server ready");
}

/// A process ended, as `exit_status` says, because somebody asked for it.
pub(crate) fn stopped(server: &str, pid: Option<u32>, exit_status: &str, reason: &str) {
    tracing::info!(target: TARGET, server, pid, exit_status, reason, "server stopped");
}

/// A process ended by itself, or closed its standard output or input. `uptime` is how long it could be called.
pub(crate) fn exited(server: &str, pid: Option<u32>, exit_status: &str, uptime: Duration) {
    let uptime_ms = millis(uptime);
    tracing::warn!(target: TARGET, server, pid, exit_status, uptime_ms, "server exited");
}

/// The next start is due in `delay`.
pub(crate) fn restart_scheduled(server: &str, reason: &str, restarts: u32, failures: u32, delay: Duration) {
    let delay_ms = millis(delay);
    tracing::warn!(target: TARGET, server, reason, restarts, failures, delay_ms, "server restart scheduled");
}

/// Calls fail from now on. The next attempt is due in `delay`, which is the longest of the policy.
pub(crate) fn failed(server: &str, failure: &Failure, restarts: u32, failures: u32, delay: Duration) {
    let (reason, delay_ms) = (failure.message.as_str(), millis(delay));
    match failure.kind {
        FailureKind::CrashLoop => {
            tracing::error!(target: TARGET, server, reason, restarts, failures, delay_ms, "server in a crash loop");
        }
        _ => tracing::error!(target: TARGET, server, reason, restarts, failures, delay_ms, "server cannot be started"),
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
