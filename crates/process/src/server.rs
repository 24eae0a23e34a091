//! One stdio server, shared by many callers.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use portolan_core::{
    Channel, ChannelNotification, ChannelRequest, Exchange, LogLine, LogQuery, Result, ServerHandshake, Status,
};
use tokio::sync::broadcast;

use crate::{
    ProcessConfig, ServerCommand, logs,
    process_loop::Transport,
    stdio_channel::Phase,
    supervisor::{StartMode, StatusCallback, Supervisor},
};

/// A stdio server as a [`Channel`]: started, shaken hands with, started again when it ends.
///
/// Calls that come while it starts wait for it, within their own timeout; in a crash loop they fail at once. Dropping
/// the last handle kills its process group; [`StdioServer::stop`] ends it in order.
///
/// What belongs to a `subscriptions/listen` comes through its exchange as the server wrote it, so the subscription id in
/// its `_meta` is the one that the supervisor gave the call. Who relays it puts the id of its own caller there.
#[derive(Debug)]
pub struct StdioServer {
    pub(crate) supervisor: Supervisor,
}

impl StdioServer {
    /// Starts `command`, called `name` in errors and logs. Returns at once; how it goes is seen by calling it.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn start(name: &str, command: ServerCommand, config: &ProcessConfig) -> Arc<Self> {
        Self::start_reporting(name, command, config, Box::new(|_: Status, _: u32| {}))
    }

    /// The same, telling how it goes.
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

    /// The id of its process, which is the id of its process group too, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.supervisor.shared.group.pid()
    }

    /// Its error output, and what is no message on its output.
    pub fn logs(&self, query: &LogQuery) -> BoxStream<'static, Result<LogLine>> {
        logs::read(&self.supervisor.shared.logs, query)
    }

    /// Starts it again, after calls under way had `drain` to finish.
    pub async fn restart(&self, drain: Duration) {
        self.supervisor.restart(drain).await;
    }

    /// Ends it for good: calls under way have `drain` to finish, then its input is closed, then it is told to end, then
    /// killed. Returns when it is gone.
    pub async fn stop(&self, drain: Duration) {
        self.supervisor.stop(drain).await;
    }

    /// Whether a call would go through or wait; if not, why.
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
