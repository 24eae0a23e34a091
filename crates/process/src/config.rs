//! Configuration of child processes, with its defaults.

use std::{ffi::OsString, fmt, path::PathBuf, sync::Arc, time::Duration};

use portolan_core::{Clock, SystemClock};
use tokio::time::Instant;

use crate::{ProcessLimits, RestartPolicy};

/// How child processes are run. All of it has a default except the directory for private files.
///
/// ```
/// use std::time::Duration;
/// use portolan_process::{ProcessConfig, ProcessLimits, WorkDir};
///
/// let config = ProcessConfig::new("/run/portolan")
///     .with_search_path("/opt/node/bin:/usr/bin:/bin")
///     .with_inherited_env("LANG", "C.UTF-8")
///     .with_work_dir(WorkDir::At("/srv".into()))
///     .with_limits(ProcessLimits::default().with_calls(64))
///     .with_start_deadline(Duration::from_secs(120));
/// assert_eq!(config.limits.calls, 64);
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub struct ProcessConfig {
    /// Where each deployment gets a private directory (mode 0700), removed when it ends. It holds secrets while a
    /// server with secret files runs, so a directory in memory (`/dev/shm`, `$XDG_RUNTIME_DIR`) is a good choice.
    pub base_dir: PathBuf,
    /// Where programs are looked up, and the `PATH` of the children. Default: `/usr/local/bin:/usr/bin:/bin`.
    pub path: OsString,
    /// Environment variables for every child, such as `HOME`, `LANG` and proxies. Nothing else is inherited.
    /// Without a `HOME`, children get their private directory as one. Default: none.
    pub inherit: Vec<(OsString, OsString)>,
    /// The working directory of the children. Default: their private directory.
    pub work_dir: WorkDir,
    /// The limits of each server.
    pub limits: ProcessLimits,
    /// When and how often a server that ended is started again.
    pub restarts: RestartPolicy,
    /// How long a start may take until the server has completed its handshake. Default: 60 s.
    pub start_deadline: Duration,
    /// How long the modern probe is awaited alone before the legacy handshake is sent beside it. Default: 5 s.
    pub probe_patience: Duration,
    /// How long each step of an orderly stop may take: closed stdin, then `SIGTERM`, then `SIGKILL`. Some servers need
    /// 2 to 4 s to end with their input. Default: 5 s.
    pub stop_grace: Duration,
    /// Whether servers are ended that are left when the host is killed: by a watchdog, a shell process beside the host,
    /// and by the next start of a host with the same `base_dir`, which then holds a record of the processes. On Linux
    /// only. Turn it off where the end of the host ends everything, such as a container. Default: `true`.
    pub orphan_cleanup: bool,
    /// How long calls under way may go on before a graceful restart or a replacement. Default: 30 s.
    pub drain: Duration,
    /// How long a process that belongs to one conversation is kept while nobody calls it
    /// ([`Sharing::PerSession`](portolan_core::Sharing::PerSession)). Default: 30 min.
    pub session_idle: Duration,
    /// The source of the times in log lines and statuses. Default: the system's clock.
    pub clock: Arc<dyn Clock>,
}

/// The working directory of child processes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum WorkDir {
    /// The private directory of the deployment.
    #[default]
    Private,
    /// This directory, for all of them.
    At(PathBuf),
}

impl ProcessConfig {
    /// Returns the defaults, with private directories below `base_dir`, which is created when it is first needed.
    pub fn new(base_dir: impl Into<PathBuf>) -> Self {
        Self {
            base_dir: base_dir.into(),
            path: "/usr/local/bin:/usr/bin:/bin".into(),
            inherit: Vec::new(),
            work_dir: WorkDir::default(),
            limits: ProcessLimits::default(),
            restarts: RestartPolicy::default(),
            start_deadline: Duration::from_secs(60),
            probe_patience: Duration::from_secs(5),
            stop_grace: Duration::from_secs(5),
            orphan_cleanup: true,
            drain: Duration::from_secs(30),
            session_idle: Duration::from_secs(30 * 60),
            clock: Arc::new(SystemClock),
        }
    }

    /// Sets where programs are looked up, which is also the `PATH` of the children.
    #[must_use]
    pub fn with_search_path(mut self, path: impl Into<OsString>) -> Self {
        self.path = path.into();
        self
    }

    /// Adds an environment variable for every child.
    #[must_use]
    pub fn with_inherited_env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.inherit.push((name.into(), value.into()));
        self
    }

    /// Sets the working directory of the children. Default: their private directory.
    #[must_use]
    pub fn with_work_dir(mut self, work_dir: WorkDir) -> Self {
        self.work_dir = work_dir;
        self
    }

    /// Sets the limits of each server.
    #[must_use]
    pub fn with_limits(mut self, limits: ProcessLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Sets when and how often a server that ended is started again.
    #[must_use]
    pub fn with_restarts(mut self, restarts: RestartPolicy) -> Self {
        self.restarts = restarts;
        self
    }

    /// Sets how long a start may take until the server has completed its handshake. Default: 60 s.
    #[must_use]
    pub fn with_start_deadline(mut self, deadline: Duration) -> Self {
        self.start_deadline = deadline;
        self
    }

    /// Sets how long the modern probe is awaited alone before the legacy handshake is sent beside it. Default: 5 s.
    #[must_use]
    pub fn with_probe_patience(mut self, patience: Duration) -> Self {
        self.probe_patience = patience;
        self
    }

    /// Sets how long each step of an orderly stop may take. Default: 5 s.
    #[must_use]
    pub fn with_stop_grace(mut self, grace: Duration) -> Self {
        self.stop_grace = grace;
        self
    }

    /// Sets whether servers are ended that are left when the host is killed. Default: `true`.
    #[must_use]
    pub fn with_orphan_cleanup(mut self, orphan_cleanup: bool) -> Self {
        self.orphan_cleanup = orphan_cleanup;
        self
    }

    /// Sets how long calls under way may go on before a graceful restart or a replacement. Default: 30 s.
    #[must_use]
    pub fn with_drain(mut self, drain: Duration) -> Self {
        self.drain = drain;
        self
    }

    /// Sets how long the unused process of one conversation is kept. Default: 30 min.
    #[must_use]
    pub fn with_session_idle(mut self, idle: Duration) -> Self {
        self.session_idle = idle;
        self
    }

    /// Sets the source of the times in log lines and statuses. Default: the system's clock.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }
}

/// How long the steps of one orderly stop may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StopSteps {
    /// From the end of its input until `SIGTERM`.
    pub(crate) input: Duration,
    /// From `SIGTERM` until `SIGKILL`.
    pub(crate) terminate: Duration,
}

impl ProcessConfig {
    /// Returns the steps of a stop that begins now and has to be over at `deadline`. If time is short, most of it is for
    /// the end of the input, which every server heeds that has something to lose.
    pub(crate) fn stop_steps(&self, deadline: Option<Instant>) -> StopSteps {
        let Some(deadline) = deadline else {
            return StopSteps {
                input: self.stop_grace,
                terminate: self.stop_grace,
            };
        };
        let left = deadline.saturating_duration_since(Instant::now());
        let input = self.stop_grace.min(left * 2 / 3);
        // The rest is for the operating system.
        let terminate = self.stop_grace.min((left - input) * 9 / 10);
        StopSteps { input, terminate }
    }
}

impl fmt::Debug for ProcessConfig {
    /// Shows the names of inherited variables, not their values: hosts hand in proxies with passwords.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inherit: Vec<_> = self.inherit.iter().map(|(name, _)| name).collect();
        f.debug_struct("ProcessConfig")
            .field("base_dir", &self.base_dir)
            .field("path", &self.path)
            .field("inherit", &inherit)
            .field("work_dir", &self.work_dir)
            .field("limits", &self.limits)
            .field("restarts", &self.restarts)
            .finish_non_exhaustive()
    }
}
