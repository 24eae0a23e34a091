//! The runtime: runs self-hosted servers and says where they are reached.

use std::fmt::Debug;

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use jiff::Timestamp;

use crate::{Endpoint, InstallName, Result, RunSpec, ServerSpec, StatusEvent};

/// Runs MCP servers and says where they are reached.
///
/// # Contract
///
/// - `ensure` records the wish and returns; it does not wait until the server runs. Readiness comes from `watch`, and so
///   does a failure that retrying will not mend. A source that this runtime can never run is refused at once, as invalid.
/// - `ensure` twice with an equal spec is one deployment, and the second call disturbs nothing that runs. With another
///   spec, the deployment is replaced: a status that is told after `ensure` returned is about the new spec, also where
///   the old deployment goes on answering until the new one can.
/// - `remove` ends the deployment. When it returns, `list` and `endpoint` know it no longer. Removing what is not there
///   succeeds.
/// - `list` gives the names of all deployments that were ensured and not removed, sorted, whatever their status.
/// - `endpoint` is asked on every call: it answers from memory, without I/O. It fails with
///   [`Error::NotFound`](crate::Error::NotFound) for what was never ensured, and with
///   [`Error::NotReady`](crate::Error::NotReady) and the cause while the server cannot be used.
/// - `watch` begins with the present status of every deployment and goes on with each change. A slow reader may miss a
///   status that was followed by another, and never misses the last one. A removal is told as
///   [`Status::Removed`](crate::Status::Removed).
/// - `check` looks at an entry of the catalogue before it is stored, without I/O: what it refuses, `ensure` would refuse for
///   every install of it. What it lets pass may still fail by an answer, or by what the runtime finds.
/// - Dropping the runtime ends what it started on this machine.
/// - Two live copies under one name can exist for a while; servers must bear it.
#[async_trait]
pub trait Runtime: Debug + Send + Sync {
    /// Whether installs of `server` can be run at all. Servers that run elsewhere are no runtime's matter.
    fn check(&self, server: &ServerSpec) -> Result<()> {
        let _ = server;
        Ok(())
    }

    /// Asks for `spec` to run under `name`.
    async fn ensure(&self, name: &InstallName, spec: &RunSpec) -> Result<()>;

    /// Ends what runs under `name`.
    async fn remove(&self, name: &InstallName) -> Result<()>;

    /// What shall run.
    async fn list(&self) -> Result<Vec<InstallName>>;

    /// Where the server under `name` is reached.
    async fn endpoint(&self, name: &InstallName) -> Result<Endpoint>;

    /// How everything is, and each change of it.
    fn watch(&self) -> BoxStream<'static, StatusEvent>;

    /// The log side of this runtime, where it has one.
    fn logs(&self) -> Option<&dyn RuntimeLogs> {
        None
    }

    /// The restart side of this runtime, where it has one.
    fn restart(&self) -> Option<&dyn RuntimeRestart> {
        None
    }

    /// The command side of this runtime, where it has one.
    fn exec(&self) -> Option<&dyn RuntimeExec> {
        None
    }

    /// The scaling side of this runtime, where it has one.
    fn scale(&self) -> Option<&dyn RuntimeScale> {
        None
    }
}

/// Reads what servers write to their logs.
///
/// # Contract
///
/// - Lines come in the order in which they were written. Without `follow` the stream ends with the last line there is.
/// - With `follow` it goes on with new lines, through restarts, until the deployment is removed.
/// - Logs are kept within a bound; `tail` counts from the end of what is kept.
pub trait RuntimeLogs: Debug + Send + Sync {
    /// The log of the server under `name`.
    fn logs(&self, name: &InstallName, query: LogQuery) -> BoxStream<'static, Result<LogLine>>;
}

/// Which part of a log is wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogQuery {
    /// Only this many of the last lines.
    pub tail: Option<usize>,
    /// Only lines since then.
    pub since: Option<Timestamp>,
    /// Go on with new lines.
    pub follow: bool,
    /// The run before the present one, after a crash.
    pub previous: bool,
}

/// A line of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// When it was read.
    pub at: Timestamp,
    /// The line, without its end; what is no UTF-8 is replaced, what is too long is cut.
    pub text: String,
}

/// Restarts servers.
///
/// # Contract
///
/// - `restart` returns when the restart is under way. Calls that cannot be finished fail with a typed error.
/// - Restarting what is not there is [`Error::NotFound`](crate::Error::NotFound).
#[async_trait]
pub trait RuntimeRestart: Debug + Send + Sync {
    /// Restarts the server under `name`.
    async fn restart(&self, name: &InstallName, kind: Restart) -> Result<()>;
}

/// How thorough a restart is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Restart {
    /// Without a failed call where the server can be run twice for a while; else after draining.
    #[default]
    Graceful,
    /// The same, with the image pulled anew.
    FreshPull,
    /// Everything is removed and made again.
    Reset,
}

/// Runs commands beside a server.
#[async_trait]
pub trait RuntimeExec: Debug + Send + Sync {
    /// Runs `command` where the server under `name` runs, and gives its standard streams.
    async fn exec(&self, name: &InstallName, command: &[String]) -> Result<ExecStreams>;
}

/// The standard streams of a command.
pub struct ExecStreams {
    /// Where its input is written.
    pub stdin: Box<dyn tokio::io::AsyncWrite + Send + Unpin>,
    /// Where its output is read.
    pub stdout: Box<dyn tokio::io::AsyncRead + Send + Unpin>,
    /// Where its error output is read.
    pub stderr: Box<dyn tokio::io::AsyncRead + Send + Unpin>,
}

impl Debug for ExecStreams {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ExecStreams").finish_non_exhaustive()
    }
}

/// Sends servers to sleep and wakes them.
///
/// # Contract
///
/// - `sleep` of a sleeping server and `wake` of a running one succeed and change nothing.
/// - `wake` returns when waking has begun; `watch` tells when it is done.
#[async_trait]
pub trait RuntimeScale: Debug + Send + Sync {
    /// Stops the server under `name`, keeping all that is needed to start it again.
    async fn sleep(&self, name: &InstallName) -> Result<()>;

    /// Starts it again.
    async fn wake(&self, name: &InstallName) -> Result<()>;
}
