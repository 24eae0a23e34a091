//! A stdio server with a process for each conversation, without a runtime.

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use portolan_core::{
    Channel, ChannelNotification, ChannelRequest, Error, Exchange, Result, ServerHandshake, Sharing, Status,
};
use tokio::{sync::broadcast, time::Instant};

use crate::{
    ProcessConfig, ServerCommand, StdioServer,
    per_session::{PerSession, ProcessStarter},
    supervisor::{StartMode, Supervisor, Transport},
};

/// A supervised stdio server with a process for each conversation, as a [`Channel`]: what
/// [`Sharing::PerSession`] is to a runtime, without one. One more process serves requests outside of conversations.
///
/// Dropping the last reference kills all its processes; [`PerSessionServer::stop`] ends them in order.
pub struct PerSessionServer {
    common: Arc<StdioServer>,
    conversations: PerSession,
}

impl PerSessionServer {
    /// Starts the process outside of conversations; each conversation, at most `max` at once, starts its own at its
    /// first call, which ends after [`ProcessConfig::session_idle`] without one. Returns at once.
    ///
    /// ```
    /// use std::time::Duration;
    /// use portolan_core::Channel;
    /// use portolan_process::{PerSessionServer, ProcessConfig, ServerCommand};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), portolan_core::Error> {
    /// let config = ProcessConfig::new(std::env::temp_dir().join("portolan-example"));
    /// let server = PerSessionServer::start("browser", ServerCommand::new("my-browser", [""; 0]), 20, &config)?;
    /// assert!(server.isolates_conversations());
    /// server.stop(Duration::ZERO).await;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] if `max` is 0.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn start(name: &str, command: ServerCommand, max: u16, config: &ProcessConfig) -> Result<Arc<Self>> {
        check(&Sharing::PerSession { max })?;
        let common = StdioServer::start(name, command.clone(), config);
        let start = starter(name, command, &common, config);
        let conversations = PerSession::new(common.clone(), start, max, config.session_idle);
        Ok(Arc::new(Self { common, conversations }))
    }

    /// Ends all its processes for good: after calls under way had `drain` to finish, inputs are closed, then they get
    /// `SIGTERM`, then `SIGKILL`. Returns when they are gone.
    pub async fn stop(&self, drain: Duration) {
        self.stop_by(drain, None).await;
    }

    /// Ends all of them within `within`, without a wait for calls under way. Also cuts short a stop that is under way.
    pub async fn stop_within(&self, within: Duration) {
        let deadline = Instant::now() + within;
        let stopped = self.stop_by(Duration::ZERO, Some(deadline));
        if tokio::time::timeout_at(deadline, stopped).await.is_err() {
            self.conversations.kill();
            self.common.supervisor.kill();
        }
    }

    async fn stop_by(&self, drain: Duration, deadline: Option<Instant>) {
        self.conversations.stop_by(drain, deadline);
        self.common.supervisor.stop_by(drain, deadline).await;
        self.conversations.stopped().await;
    }
}

/// Refuses a number of conversations that allows none.
pub(crate) fn check(sharing: &Sharing) -> Result<()> {
    match sharing {
        Sharing::PerSession { max: 0 } => Err(Error::invalid(
            "sharing",
            "allows no session at all; give a max of 1 or more",
        )),
        _ => Ok(()),
    }
}

/// Returns a starter of more processes of `common`, whose log lines go to its log too.
fn starter(name: &str, command: ServerCommand, common: &StdioServer, config: &ProcessConfig) -> ProcessStarter {
    let shared = &common.supervisor.shared;
    let (logs, probe) = (shared.logs.clone(), shared.probe.clone());
    let (name, config) = (name.to_owned(), config.clone());
    Box::new(move || {
        let supervisor = Supervisor::start(
            &name,
            Box::new(command.clone()),
            Transport::Stdio,
            config.clone(),
            Box::new(|_: Status, _: u32| {}),
            StartMode::Beside(logs.clone(), probe.clone()),
        );
        Arc::new(StdioServer { supervisor })
    })
}

#[async_trait]
impl Channel for PerSessionServer {
    async fn handshake(&self) -> Result<ServerHandshake> {
        self.conversations.handshake().await
    }

    async fn call(&self, request: ChannelRequest) -> Result<Exchange> {
        self.conversations.call(request).await
    }

    fn notifications(&self) -> broadcast::Receiver<ChannelNotification> {
        self.conversations.notifications()
    }

    fn isolates_conversations(&self) -> bool {
        true
    }

    fn end(&self, conversation: &str) {
        self.conversations.end(conversation);
    }
}

impl Drop for PerSessionServer {
    fn drop(&mut self) {
        // Calls may hold processes, which must not outlive their server.
        self.conversations.kill();
    }
}

impl fmt::Debug for PerSessionServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PerSessionServer")
            .field("common", &self.common)
            .finish_non_exhaustive()
    }
}
