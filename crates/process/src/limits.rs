//! The limits of one server.

use std::time::Duration;

/// The limits of one server: everything that a server or its callers could make grow has one.
///
/// ```
/// use portolan_process::ProcessLimits;
///
/// let limits = ProcessLimits::default().with_calls(64).with_line(4 << 20);
/// assert_eq!((limits.calls, limits.line, limits.waiting), (64, 4 << 20, 1024));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProcessLimits {
    /// How many calls may be under way at once. Default: 1024.
    pub calls: usize,
    /// How many calls may wait for a server that is starting. Default: 1024.
    pub waiting: usize,
    /// The longest line read from the server, in bytes. Default: 32 MiB.
    pub line: usize,
    /// How many bytes may wait for the server to read its input; a single message may be longer. Default: 64 MiB.
    pub queue_bytes: usize,
    /// How many unread notifications one call may have; more are dropped, the response never. Default: 64.
    pub call_events: usize,
    /// How many requests of the server may be open in one call; more are refused. Default: 16.
    pub call_server_requests: usize,
    /// How many requests of the server may be open in all its calls. Default: 256.
    pub server_requests: usize,
    /// How long a cancelled call counts as one that the server still works on, unless the server answers it earlier: until
    /// then, a request of the server may belong to it. Default: 30 s.
    pub cancel_grace: Duration,
    /// How many notifications outside of calls a reader may be behind. Default: 256.
    pub notifications: usize,
    /// How many log lines are kept of the present run, and of the one before. Default: 1,000.
    pub log_lines: usize,
    /// How many bytes of log are kept of each run. Default: 256 KiB.
    pub log_bytes: usize,
    /// The length at which a log line is cut, in bytes. Default: 8 KiB.
    pub log_line: usize,
}

impl ProcessLimits {
    /// Sets how many calls may be under way at once. Default: 1024.
    #[must_use]
    pub fn with_calls(mut self, calls: usize) -> Self {
        self.calls = calls;
        self
    }

    /// Sets how many calls may wait for a server that is starting. Default: 1024.
    #[must_use]
    pub fn with_waiting(mut self, waiting: usize) -> Self {
        self.waiting = waiting;
        self
    }

    /// Sets the longest line read from the server, in bytes. Default: 32 MiB.
    #[must_use]
    pub fn with_line(mut self, line: usize) -> Self {
        self.line = line;
        self
    }

    /// Sets how many bytes may wait for the server to read its input. Default: 64 MiB.
    #[must_use]
    pub fn with_queue_bytes(mut self, queue_bytes: usize) -> Self {
        self.queue_bytes = queue_bytes;
        self
    }

    /// Sets how many unread notifications one call may have. Default: 64.
    #[must_use]
    pub fn with_call_events(mut self, call_events: usize) -> Self {
        self.call_events = call_events;
        self
    }

    /// Sets how many requests of the server may be open in one call. Default: 16.
    #[must_use]
    pub fn with_call_server_requests(mut self, call_server_requests: usize) -> Self {
        self.call_server_requests = call_server_requests;
        self
    }

    /// Sets how many requests of the server may be open in all its calls. Default: 256.
    #[must_use]
    pub fn with_server_requests(mut self, server_requests: usize) -> Self {
        self.server_requests = server_requests;
        self
    }

    /// Sets how long a cancelled call counts as one that the server still works on. Default: 30 s.
    #[must_use]
    pub fn with_cancel_grace(mut self, cancel_grace: Duration) -> Self {
        self.cancel_grace = cancel_grace;
        self
    }

    /// Sets how many notifications outside of calls a reader may be behind. Default: 256.
    #[must_use]
    pub fn with_notifications(mut self, notifications: usize) -> Self {
        self.notifications = notifications;
        self
    }

    /// Sets how many log lines are kept of each run. Default: 1,000.
    #[must_use]
    pub fn with_log_lines(mut self, log_lines: usize) -> Self {
        self.log_lines = log_lines;
        self
    }

    /// Sets how many bytes of log are kept of each run. Default: 256 KiB.
    #[must_use]
    pub fn with_log_bytes(mut self, log_bytes: usize) -> Self {
        self.log_bytes = log_bytes;
        self
    }

    /// Sets the length at which a log line is cut, in bytes. Default: 8 KiB.
    #[must_use]
    pub fn with_log_line(mut self, log_line: usize) -> Self {
        self.log_line = log_line;
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
            cancel_grace: Duration::from_secs(30),
            notifications: 256,
            log_lines: 1000,
            log_bytes: 256 << 10,
            log_line: 8 << 10,
        }
    }
}
