//! One stdio server as a `Channel` for many callers.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use portolan_core::{
    Channel, ChannelNotification, ChannelRequest, Exchange, LogLine, LogQuery, Result, ServerHandshake, Status,
};
use tokio::sync::broadcast;

use crate::{
    ProcessConfig, ServerCommand,
    channel::Phase,
    logs,
    supervisor::{StartMode, StatusCallback, Supervisor, Transport},
};

/// A supervised stdio server as a [`Channel`]: started once, restarted when it ends, shared by many callers.
///
/// Calls that arrive while it starts wait for it within their own timeout; in a crash loop they fail at once. Dropping
/// the last reference kills it with all that it started; [`StdioServer::stop`] ends it in order. The [crate docs](crate) say what
/// happens when the host process itself dies.
///
/// Notifications of a `subscriptions/listen` arrive in its exchange as the server wrote them: the subscription id in
/// their `_meta` is the one that the supervisor gave the call. A relay replaces it by the id of its own caller.
#[derive(Debug)]
pub struct StdioServer {
    pub(crate) supervisor: Arc<Supervisor>,
}

impl StdioServer {
    /// Starts `command`, called `name` in errors, events and logs. Returns at once: calls wait for the start or fail
    /// with its failure.
    ///
    /// ```
    /// use std::time::Duration;
    /// use portolan_core::{Channel, Error, FailureKind};
    /// use portolan_process::{ProcessConfig, ServerCommand, StdioServer};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let config = ProcessConfig::new(std::env::temp_dir().join("portolan-example"));
    /// let server = StdioServer::start("time", ServerCommand::new("not-installed", [""; 0]), &config);
    /// let Err(Error::NotReady { failure, .. }) = server.handshake().await else { panic!("it cannot start") };
    /// assert_eq!(failure.kind, FailureKind::Image);
    /// server.stop(Duration::ZERO).await;
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn start(name: &str, command: ServerCommand, config: &ProcessConfig) -> Arc<Self> {
        Self::start_reporting(name, command, config, Box::new(|_: Status, _: u32| {}))
    }

    /// Starts `command` and passes each change of its status to `report`.
    pub(crate) fn start_reporting(
        name: &str,
        command: ServerCommand,
        config: &ProcessConfig,
        report: StatusCallback,
    ) -> Arc<Self> {
        let (factory, config) = (Box::new(command), config.clone());
        let supervisor = Supervisor::start(name, factory, Transport::Stdio, config, report, StartMode::Fresh);
        Arc::new(Self { supervisor })
    }

    /// Returns the id of its process, which is also the id of its process group; `None` while none runs.
    pub fn pid(&self) -> Option<u32> {
        self.supervisor.shared.group.pid()
    }

    /// Returns its log: its standard error, and the lines of its standard output that are not messages.
    ///
    /// # Errors
    ///
    /// None: the log is in memory. The items are results as those of [`RuntimeLogs`](portolan_core::RuntimeLogs) are.
    pub fn logs(&self, query: &LogQuery) -> BoxStream<'static, Result<LogLine>> {
        logs::read(&self.supervisor.shared.logs, query)
    }

    /// Restarts it, after calls under way had `drain` to finish. Returns when the restart is under way.
    pub async fn restart(&self, drain: Duration) {
        self.supervisor.restart(drain).await;
    }

    /// Ends it for good: after calls under way had `drain` to finish, its input is closed, then it gets `SIGTERM`, then
    /// `SIGKILL`. Returns when it is gone.
    pub async fn stop(&self, drain: Duration) {
        self.supervisor.stop(drain).await;
    }

    /// Ends it for good within `within`, without a wait for calls under way: as [`stop`](Self::stop) does, with
    /// steps that are shortened to fit. Also cuts short a stop that is under way.
    pub async fn stop_within(&self, within: Duration) {
        let deadline = tokio::time::Instant::now() + within;
        let stopped = self.supervisor.stop_by(Duration::ZERO, Some(deadline));
        if tokio::time::timeout_at(deadline, stopped).await.is_err() {
            self.supervisor.kill();
        }
    }

    /// Returns the state that callers see.
    pub(crate) fn phase(&self) -> Phase {
        self.supervisor.shared.channel.phase()
    }
}

#[async_trait]
impl Channel for StdioServer {
    async fn handshake(&self) -> Result<ServerHandshake> {
        self.supervisor.shared.channel.handshake().await
    }

    async fn call(&self, request: ChannelRequest) -> Result<Exchange> {
        self.supervisor.shared.channel.call(request).await
    }

    fn notifications(&self) -> broadcast::Receiver<ChannelNotification> {
        self.supervisor.shared.channel.notifications()
    }
}
