//! What may be decided about child processes, with the defaults.

use std::{ffi::OsString, fmt, path::PathBuf, sync::Arc, time::Duration};

use portolan_core::{Clock, SystemClock};

use crate::RestartPolicy;

/// How child processes are run. All of it has a default but the directory for private files.
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
    /// The bounds of each server.
    pub limits: ProcessLimits,
    /// When and how often a server that ended is started again.
    pub restarts: RestartPolicy,
    /// How long a start may take until the server has introduced itself. Default: 60 s.
    pub start_deadline: Duration,
    /// How long the modern probe stays alone before the legacy handshake is tried beside it. Default: 5 s.
    pub probe_patience: Duration,
    /// How long each step of an orderly stop may take: closed stdin, then `SIGTERM`, then `SIGKILL`. Default: 2 s.
    pub stop_grace: Duration,
    /// How long calls under way may go on before a graceful restart or a replacement. Default: 30 s.
    pub drain: Duration,
    /// How long a process that belongs to one conversation is kept while nobody calls it
    /// ([`Sharing::PerSession`](portolan_core::Sharing::PerSession)). Default: 30 min.
    pub session_idle: Duration,
    /// What is written into log lines and statuses as the time.
    pub clock: Arc<dyn Clock>,
}

/// Where children work.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum WorkDir {
    /// In the private directory of the deployment.
    #[default]
    Private,
    /// Here, all of them.
    At(PathBuf),
}

/// The bounds of one server.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProcessLimits {
    /// How many calls may be under way at once. Default: 1024.
    pub calls: usize,
    /// How many calls may wait for a server that is starting. Default: 1024.
    pub waiting: usize,
    /// The longest line taken from the server, in bytes. Default: 32 MiB.
    pub line: usize,
    /// How many bytes may wait for the server to read its input; a single message may be longer. Default: 64 MiB.
    pub queue_bytes: usize,
    /// How many notifications one call may have unread; more are dropped, the answer never. Default: 64.
    pub call_events: usize,
    /// How many questions of the server may be open in one call; more are refused. Default: 16.
    pub call_server_requests: usize,
    /// How many questions of the server may be open in all its calls. Default: 256.
    pub server_requests: usize,
    /// How long a server is taken to go on with a call that it was told to cancel: until it answers it all the same, but
    /// no longer than this. Meanwhile the call counts for whom the server may ask. Default: 30 s.
    pub cancelling: Duration,
    /// How many notifications outside of calls a reader may be behind. Default: 256.
    pub notifications: usize,
    /// How many log lines are kept of the present run, and of the one before. Default: 1,000.
    pub log_lines: usize,
    /// How many bytes of log are kept of each run. Default: 256 KiB.
    pub log_bytes: usize,
    /// Where a log line is cut, in bytes. Default: 8 KiB.
    pub log_line: usize,
}

impl ProcessConfig {
    /// The defaults, with private directories below `base_dir`, which is made when it is first needed.
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
            stop_grace: Duration::from_secs(2),
            drain: Duration::from_secs(30),
            session_idle: Duration::from_secs(30 * 60),
            clock: Arc::new(SystemClock),
        }
    }

    /// The same, with programs looked up in `path`.
    #[must_use]
    pub fn search_path(mut self, path: impl Into<OsString>) -> Self {
        self.path = path.into();
        self
    }

    /// The same, with one more environment variable for every child.
    #[must_use]
    pub fn inherit(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.inherit.push((name.into(), value.into()));
        self
    }
}

impl Default for ProcessLimits {
    fn default() -> Self {
        Self {
            calls: 1024,
            waiting: 1024,
            line: 32 << 20,
            queue_bytes: 64 << 20,
            call_events: 64,
            call_server_requests: 16,
            server_requests: 256,
            cancelling: Duration::from_secs(30),
            notifications: 256,
            log_lines: 1000,
            log_bytes: 256 << 10,
            log_line: 8 << 10,
        }
    }
}

impl fmt::Debug for ProcessConfig {
    /// Shows the names of what is inherited, not the values: hosts hand in proxies with passwords.
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
