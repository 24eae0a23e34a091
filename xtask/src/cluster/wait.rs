//! Waiting for the cluster, with a limit.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::process;

const PAUSE: Duration = Duration::from_millis(100);

/// Waits until `ready` succeeds. Fails at once if one of `processes` has ended, and at the limit with the last error of
/// `ready`; both with the end of a log.
pub(super) fn until(
    what: &str,
    limit: Duration,
    processes: &[&str],
    mut ready: impl FnMut() -> Result<()>,
) -> Result<()> {
    let start = Instant::now();
    loop {
        let Err(error) = ready() else { return Ok(()) };
        for name in processes {
            if !process::is_up(name) {
                bail!("{name} has ended; {}", process::last_lines(name));
            }
        }
        if start.elapsed() > limit {
            let logs: Vec<String> = processes.iter().map(|name| process::last_lines(name)).collect();
            return Err(error)
                .with_context(|| format!("{what}: not ready after {} s; {}", limit.as_secs(), logs.join("\n")));
        }
        std::thread::sleep(PAUSE);
    }
}
