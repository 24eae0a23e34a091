//! What a connection is opened with.

use std::{fmt, sync::Arc};

use portolan_core::ServerRequestPolicy;

use crate::ProcessLimits;

/// Receives each line of a server's output that is not a message.
pub type LogSink = Arc<dyn Fn(&[u8]) + Send + Sync>;

/// Configuration of a [`Connection`](crate::Connection).
#[derive(Clone)]
#[non_exhaustive]
pub struct ConnectionConfig {
    /// The limits of the server.
    pub limits: ProcessLimits,
    /// The requests that the server may send, declared to a legacy server in the handshake.
    pub server_requests: ServerRequestPolicy,
    /// The id of the first call; each later one has the next. Default: 1. If this run of the server had a connection
    /// before, late responses must not meet new calls: start far from where that one was.
    pub first_id: u64,
    /// Receives output lines that are not messages. Default: they are dropped.
    pub log: LogSink,
}

impl ConnectionConfig {
    /// Returns the defaults, with these limits and permitted server requests.
    pub fn new(limits: ProcessLimits, server_requests: ServerRequestPolicy) -> Self {
        Self {
            limits,
            server_requests,
            first_id: 1,
            log: Arc::new(|_| {}),
        }
    }

    /// Sets the id of the first call. Default: 1.
    #[must_use]
    pub fn with_first_id(mut self, id: u64) -> Self {
        self.first_id = id;
        self
    }

    /// Sets the receiver of output lines that are not messages. Default: they are dropped.
    #[must_use]
    pub fn with_log(mut self, log: LogSink) -> Self {
        self.log = log;
        self
    }
}

impl fmt::Debug for ConnectionConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectionConfig")
            .field("limits", &self.limits)
            .field("server_requests", &self.server_requests)
            .field("first_id", &self.first_id)
            .finish_non_exhaustive()
    }
}
