//! Runtimes: run self-hosted servers.

use std::{fmt::Debug, time::Duration};

use async_trait::async_trait;
use futures_util::{FutureExt, StreamExt, stream::BoxStream};
use jiff::Timestamp;

use crate::{Endpoint, Error, InstallName, Result, RunSpec, ServerSpec, Status, StatusEvent};

/// Runs MCP servers and knows their endpoints.
///
/// # Contract
///
/// - `ensure` records the specification and returns; it does not wait until the server runs. Readiness and failures come
///   from `watch`. A source that this runtime can never run is refused at once, as invalid.
/// - `ensure` twice with an equal spec is one deployment, and the second call disturbs nothing that runs. With another
///   spec, the deployment is replaced: a status that follows `ensure` is about the new spec, also where the old deployment
///   answers until the new one can.
/// - `remove` ends the deployment. When it returns, `list` and `endpoint` no longer know it. Removing an unknown one
///   succeeds.
/// - `list` gives the names of all deployments that were ensured and not removed, sorted, whatever their status.
/// - `endpoint` answers from memory, without I/O, because gateways ask on every call.
/// - `watch` yields the present status of every deployment and then each change. A slow reader may miss a status that was
///   followed by another one, and never misses the last. A removal is [`Status::Removed`](crate::Status::Removed).
/// - `status` answers from memory with the last status that `watch` yields.
/// - `shutdown` ends what this runtime runs on this machine. When it returns nothing of that runs any more, and `ensure` fails
///   with [`Error::Unavailable`](crate::Error::Unavailable). What runs elsewhere, such as in a cluster, goes on, and so does
///   a runtime that runs nothing here.
/// - `check` looks at a catalogue entry before it is stored, without I/O: `ensure` would refuse every install of an entry
///   that it refuses. An install of another entry may still fail, by its answers or by what the runtime finds.
/// - Dropping the runtime ends all that it started on this machine.
/// - Two live copies under one name can exist for a while; servers have to bear it.
///
/// ```
/// use std::sync::Arc;
/// use portolan_core::{
///     Endpoint, HttpEndpoint, InstallName, Owner, RunSpec, Runtime, ServerSpec, SystemClock, memory::MemoryRuntime,
/// };
///
/// # tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(async {
/// let endpoint = Endpoint::Http(HttpEndpoint::new("http://127.0.0.1:9/mcp".parse().expect("a URL")));
/// let runtime = MemoryRuntime::new(endpoint, Arc::new(SystemClock));
/// let server = ServerSpec::command("time", "uvx", ["mcp-server-time"])?;
/// let name = InstallName::new(&SystemClock);
/// runtime.ensure(&name, &RunSpec::new(server.name, Owner::Org, server.source)).await?;
/// assert_eq!(runtime.list().await?, [name]);
/// # Ok::<(), portolan_core::Error>(())
/// # }).expect("a deployment");
/// ```
#[async_trait]
pub trait Runtime: Debug + Send + Sync {
    /// Checks that installs of `server` can be run at all. Remote servers pass.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`](crate::Error::Invalid) for an entry that this runtime cannot run.
    fn check(&self, server: &ServerSpec) -> Result<()> {
        let _ = server;
        Ok(())
    }

    /// Requests that `spec` runs under `name`.
    ///
    /// # Errors
    ///
    /// - [`Error::Invalid`](crate::Error::Invalid) for a source that this runtime cannot run.
    /// - [`Error::Unavailable`](crate::Error::Unavailable) if the platform cannot be reached.
    async fn ensure(&self, name: &InstallName, spec: &RunSpec) -> Result<()>;

    /// Ends the deployment `name`.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`](crate::Error::Unavailable) if the platform cannot be reached.
    async fn remove(&self, name: &InstallName) -> Result<()>;

    /// Returns the names of all deployments, sorted.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`](crate::Error::Unavailable) if the platform cannot be reached.
    async fn list(&self) -> Result<Vec<InstallName>>;

    /// Returns the endpoint of the deployment `name`.
    ///
    /// # Errors
    ///
    /// - [`Error::NotFound`](crate::Error::NotFound) for an unknown deployment.
    /// - [`Error::NotReady`](crate::Error::NotReady) with the failure while the server cannot be used.
    async fn endpoint(&self, name: &InstallName) -> Result<Endpoint>;

    /// Returns a stream of the status of every deployment and of each change.
    fn watch(&self) -> BoxStream<'static, StatusEvent>;

    /// Returns the present status of the deployment `name`.
    ///
    /// The default takes it from the beginning of [`watch`](Self::watch).
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`](crate::Error::NotFound) for an unknown deployment.
    async fn status(&self, name: &InstallName) -> Result<StatusEvent> {
        let mut events = self.watch();
        let mut found = None;
        // What is there at once is the present status; the rest of the stream is still to come.
        while let Some(Some(event)) = events.next().now_or_never() {
            if event.install == *name {
                found = Some(event);
            }
        }
        found
            .filter(|event| event.status != Status::Removed)
            .ok_or_else(|| Error::not_found("deployment", name))
    }

    /// Ends everything that this runtime runs on this machine, in order where `within` allows it, else at once.
    ///
    /// The default does nothing: it fits a runtime whose servers run elsewhere and go on without it.
    ///
    /// # Errors
    ///
    /// An error of the platform, if something could not be ended.
    async fn shutdown(&self, within: Duration) -> Result<()> {
        let _ = within;
        Ok(())
    }

    /// Returns the logs of this runtime's servers, if it has them.
    fn logs(&self) -> Option<&dyn RuntimeLogs> {
        None
    }

    /// Returns the part of this runtime that restarts servers, if it has one.
    fn restart(&self) -> Option<&dyn RuntimeRestart> {
        None
    }

    /// Returns the part of this runtime that runs commands, if it has one.
    fn exec(&self) -> Option<&dyn RuntimeExec> {
        None
    }

    /// Returns the part of this runtime that sends servers to sleep, if it has one.
    fn scale(&self) -> Option<&dyn RuntimeScale> {
        None
    }
}

/// Reads the logs of servers.
///
/// # Contract
///
/// - Lines come in the order in which they were written. Without `follow` the stream ends with the last line.
/// - With `follow` it goes on with new lines, through restarts, until the deployment is removed.
/// - Logs are kept within a bound; `tail` counts from their end.
/// - The log of an unknown deployment is one item: [`Error::NotFound`](crate::Error::NotFound).
pub trait RuntimeLogs: Debug + Send + Sync {
    /// Returns a stream of the log lines of the deployment `name`.
    ///
    /// # Errors
    ///
    /// The last item of the stream is
    ///
    /// - [`Error::NotFound`](crate::Error::NotFound) if there is no such deployment.
    /// - [`Error::Unavailable`](crate::Error::Unavailable) or [`Error::Backend`](crate::Error::Backend) of the runtime.
    fn logs(&self, name: &InstallName, query: LogQuery) -> BoxStream<'static, Result<LogLine>>;
}

/// The requested part of a log. By default all lines that are kept, without new ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogQuery {
    /// The number of last lines; `None` for all.
    pub tail: Option<usize>,
    /// The time of the first line; `None` for all.
    pub since: Option<Timestamp>,
    /// `true` to go on with new lines.
    pub follow: bool,
    /// `true` for the run before the present one, after a crash.
    pub previous: bool,
}

/// A line of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// The time at which the line was read.
    pub at: Timestamp,
    /// The line without its end. Bytes that are no UTF-8 are replaced; a long line is cut.
    pub text: String,
}

/// Restarts servers.
///
/// # Contract
///
/// - `restart` returns when the restart has begun. Calls that cannot be finished fail with a typed error.
#[async_trait]
pub trait RuntimeRestart: Debug + Send + Sync {
    /// Restarts the deployment `name`.
    ///
    /// # Errors
    ///
    /// - [`Error::NotFound`](crate::Error::NotFound) for an unknown deployment.
    /// - [`Error::Unavailable`](crate::Error::Unavailable) if the platform cannot be reached.
    async fn restart(&self, name: &InstallName, kind: Restart) -> Result<()>;
}

/// The kind of a restart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Restart {
    /// Without a failed call where the server can run twice for a while; else after draining.
    #[default]
    Graceful,
    /// As [`Restart::Graceful`], with the image pulled again.
    FreshPull,
    /// All objects of the deployment are removed and created again.
    Reset,
}

/// Runs commands beside a server.
///
/// # Contract
///
/// - The command runs where the server runs, with its files and environment; it is not parsed by a shell.
/// - Dropping the streams ends it.
#[async_trait]
pub trait RuntimeExec: Debug + Send + Sync {
    /// Runs `command` in the deployment `name` and returns its standard streams.
    ///
    /// # Errors
    ///
    /// - [`Error::NotFound`](crate::Error::NotFound) for an unknown deployment.
    /// - [`Error::NotReady`](crate::Error::NotReady) while nothing runs.
    /// - [`Error::Unavailable`](crate::Error::Unavailable) if the platform cannot be reached.
    async fn exec(&self, name: &InstallName, command: &[String]) -> Result<ExecStreams>;
}

/// The standard streams of a command.
pub struct ExecStreams {
    /// The writer of its standard input.
    pub stdin: Box<dyn tokio::io::AsyncWrite + Send + Unpin>,
    /// The reader of its standard output.
    pub stdout: Box<dyn tokio::io::AsyncRead + Send + Unpin>,
    /// The reader of its standard error.
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
/// - `wake` returns when waking has begun; [`watch`](Runtime::watch) yields the status after it.
#[async_trait]
pub trait RuntimeScale: Debug + Send + Sync {
    /// Stops the deployment `name` and keeps all that is needed to start it again.
    ///
    /// # Errors
    ///
    /// - [`Error::NotFound`](crate::Error::NotFound) for an unknown deployment.
    /// - [`Error::Unavailable`](crate::Error::Unavailable) if the platform cannot be reached.
    async fn sleep(&self, name: &InstallName) -> Result<()>;

    /// Starts the deployment `name` again.
    ///
    /// # Errors
    ///
    /// - [`Error::NotFound`](crate::Error::NotFound) for an unknown deployment.
    /// - [`Error::Unavailable`](crate::Error::Unavailable) if the platform cannot be reached.
    async fn wake(&self, name: &InstallName) -> Result<()>;
}
