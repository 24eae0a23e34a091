//! One stdio server, shared by many callers.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use portolan_core::{Channel, ChannelNotification, ChannelRequest, Exchange, Hello, LogLine, LogQuery, Result, Status};
use tokio::{sync::broadcast, time::Instant};

use crate::{
    ProcessConfig, ServerCommand,
    keeper::Speech,
    logs,
    mailbox::Refused,
    supervisor::{Phase, Supervisor},
};

/// Longer deadlines are cut to this: a year.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

/// A stdio server as a [`Channel`]: started, shaken hands with, started again when it ends.
///
/// Calls that come while it starts wait for it, within their own timeout; in a crash loop they fail at once. Dropping
/// the last handle kills its process group; [`StdioServer::stop`] ends it in order.
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
        let nobody = Box::new(|_: Status, _: u32| {});
        let (recipe, config) = (Box::new(command), config.clone());
        let supervisor = Supervisor::start(name, recipe, Speech::Stdio, config, nobody, None);
        Arc::new(Self { supervisor })
    }

    /// The id of its process, which is the id of its process group too, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.supervisor.shared.leash.pid()
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
        self.supervisor.shared.phase()
    }
}

#[async_trait]
impl Channel for StdioServer {
    async fn hello(&self) -> Result<Hello> {
        let shared = &self.supervisor.shared;
        let ready = shared.ready(None).await?;
        let hello = ready.hello.clone();
        hello.ok_or_else(|| shared.not_ready(crate::mailbox::stopped()))
    }

    async fn call(&self, request: ChannelRequest) -> Result<Exchange> {
        let shared = &self.supervisor.shared;
        let deadline = Instant::now() + request.timeout.min(LONGEST);
        let mut ended = None;
        loop {
            let ready = shared.ready(Some(deadline)).await?;
            match ready.mailbox.call(&request, deadline) {
                Ok(exchange) => return Ok(exchange),
                Err(Refused::Error(error)) => return Err(error),
                // The run ended just now and nothing was sent: the next run takes the call.
                Err(Refused::Closed(failure)) => {
                    if ended.as_ref().is_some_and(|ended| Arc::ptr_eq(ended, &ready)) {
                        return Err(shared.not_ready(failure));
                    }
                    ended = Some(ready);
                }
            }
        }
    }

    fn notifications(&self) -> broadcast::Receiver<ChannelNotification> {
        self.supervisor.shared.notifications.subscribe()
    }
}
