//! The child processes of a gateway that was built with [`Upstream::command`](crate::Upstream::command).

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::future::join_all;
use portolan_core::Channel;
use portolan_process::{PerSessionServer, ProcessConfig, ServerCommand, StdioServer};

/// The servers that a gateway started itself, and so ends itself.
#[derive(Debug, Default)]
pub(crate) struct Children(Mutex<Vec<Child>>);

/// One server: one process for all callers, or one for each conversation.
#[derive(Clone, Debug)]
pub(crate) enum Child {
    Shared(Arc<StdioServer>),
    PerSession(Arc<PerSessionServer>),
}

impl Child {
    /// Starts a server, for all callers together, or with a process for each of `conversations` at most.
    pub(crate) fn start(
        name: &str,
        command: ServerCommand,
        conversations: Option<u16>,
        config: &ProcessConfig,
    ) -> portolan_core::Result<Self> {
        Ok(match conversations {
            Some(max) => Self::PerSession(PerSessionServer::start(name, command, max, config)?),
            None => Self::Shared(StdioServer::start(name, command, config)),
        })
    }

    pub(crate) fn channel(&self) -> Arc<dyn Channel> {
        match self {
            Self::Shared(server) => server.clone(),
            Self::PerSession(server) => server.clone(),
        }
    }

    async fn stop(&self, within: Option<Duration>) {
        match (self, within) {
            (Self::Shared(server), Some(within)) => server.stop_within(within).await,
            (Self::Shared(server), None) => server.stop(Duration::ZERO).await,
            (Self::PerSession(server), Some(within)) => server.stop_within(within).await,
            (Self::PerSession(server), None) => server.stop(Duration::ZERO).await,
        }
    }
}

impl Children {
    pub(crate) fn add(&self, child: Child) {
        self.lock().push(child);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// Ends all of them at once, in order: `within` that time, else each step within the grace of its configuration.
    pub(crate) async fn stop(&self, within: Option<Duration>) {
        let children = self.lock().clone();
        join_all(children.iter().map(|child| child.stop(within))).await;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Child>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
