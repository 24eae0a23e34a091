//! A runtime on one machine: each deployment is a child process.

mod deployment;
mod shutdown;

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use futures_util::{
    StreamExt,
    stream::{self, BoxStream},
};
use portolan_core::{
    CredentialReader, Endpoint, Error, InstallName, LogLine, LogQuery, Restart, Result, RunSpec, Runtime, RuntimeLogs,
    RuntimeRestart, Status, StatusBoard, StatusEvent,
};

use self::deployment::{Deployment, Plan};
use crate::{ProcessConfig, logs};

/// A [`Runtime`] on this machine: each deployment is a child process with a supervisor.
///
/// It runs [`Source::Command`](portolan_core::Source::Command). A server that is spoken to by stdio becomes an
/// [`Endpoint::Channel`] for all its callers; one that is spoken to by HTTP has to listen on its port of `127.0.0.1`,
/// and is ready when it does. Images and remote servers are refused as invalid.
///
/// - Secrets are read each time a server starts, so a restart brings a new secret in. They reach the environment of the
///   child, or files of mode 0600 below the directory that `PORTOLAN_SECRETS_DIR` names to the child.
/// - With [`Sharing::PerSession`](portolan_core::Sharing::PerSession) each conversation has a process of its own
///   ([`Channel::isolates_conversations`](portolan_core::Channel::keeps_apart)), and one more answers what belongs to none. That one
///   is what the status, the process id and restarts that were counted are of; the log is that of all.
/// - While a stdio server starts or starts again, its endpoint is there and calls wait for it within their own timeout.
/// - A changed spec lets calls under way finish (at most [`ProcessConfig::drain`]), then replaces the process.
/// - [`shutdown`](Runtime::shutdown) ends all processes in order: calls under way may finish, then inputs are closed, then
///   `SIGTERM`, and `SIGKILL` at the end of the given time.
/// - Dropping the runtime kills all process groups at once. It has no memory: who embeds it calls `ensure` anew.
pub struct ProcessRuntime {
    config: ProcessConfig,
    credentials: Arc<dyn CredentialReader>,
    board: StatusBoard,
    deployments: Mutex<Deployments>,
}

#[derive(Default)]
struct Deployments {
    by_name: BTreeMap<InstallName, Deployment>,
    /// The runtime was shut down: nothing starts any more.
    closed: bool,
}

impl ProcessRuntime {
    /// A runtime without deployments. Its methods need a tokio runtime around them.
    pub fn new(config: ProcessConfig, credentials: Arc<dyn CredentialReader>) -> Self {
        Self {
            config,
            credentials,
            board: StatusBoard::new(),
            deployments: Mutex::default(),
        }
    }

    /// The process id of the server under `name`, while it runs.
    pub fn pid(&self, name: &InstallName) -> Option<u32> {
        self.lock().by_name.get(name)?.server.pid()
    }

    /// Starts what `plan` says, in the place of what runs under `name`.
    fn put(&self, deployments: &mut Deployments, name: &InstallName, plan: Plan) {
        let before = deployments.by_name.remove(name).map(|old| {
            old.close(self.config.drain);
            old.server
        });
        let deployment = Deployment::start(*name, plan, self, before);
        deployments.by_name.insert(*name, deployment);
    }

    fn lock(&self) -> MutexGuard<'_, Deployments> {
        self.deployments.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Runtime for ProcessRuntime {
    async fn ensure(&self, name: &InstallName, spec: &RunSpec) -> Result<()> {
        let plan = Plan::of(spec)?;
        let mut deployments = self.lock();
        if deployments.closed {
            return Err(shut_down());
        }
        if deployments.by_name.get(name).is_none_or(|old| old.plan.spec != *spec) {
            self.put(&mut deployments, name, plan);
        }
        Ok(())
    }

    async fn remove(&self, name: &InstallName) -> Result<()> {
        let Some(old) = self.lock().by_name.remove(name) else {
            return Ok(());
        };
        old.close(Duration::ZERO);
        let server = old.server.clone();
        // If this future is dropped, the process goes at once.
        let last = scopeguard(move || old.kill());
        server.stop(Duration::ZERO).await;
        drop(last);
        server.supervisor.shared.logs.close();
        // Somebody may have ensured it anew meanwhile.
        let deployments = self.lock();
        if !deployments.by_name.contains_key(name) {
            let now = self.config.clock.now();
            self.board.set(StatusEvent::new(*name, Status::Removed, now));
        }
        Ok(())
    }

    async fn list(&self) -> Result<Vec<InstallName>> {
        Ok(self.lock().by_name.keys().copied().collect())
    }

    async fn endpoint(&self, name: &InstallName) -> Result<Endpoint> {
        match self.lock().by_name.get(name) {
            Some(deployment) => deployment.endpoint(name),
            None => Err(not_found(name)),
        }
    }

    async fn status(&self, name: &InstallName) -> Result<StatusEvent> {
        self.board.get(name).ok_or_else(|| not_found(name))
    }

    async fn shutdown(&self, within: Duration) -> Result<()> {
        self.stop_all(within).await;
        Ok(())
    }

    fn watch(&self) -> BoxStream<'static, StatusEvent> {
        self.board.watch()
    }

    fn logs(&self) -> Option<&dyn RuntimeLogs> {
        Some(self)
    }

    fn restart(&self) -> Option<&dyn RuntimeRestart> {
        Some(self)
    }
}

impl RuntimeLogs for ProcessRuntime {
    fn logs(&self, name: &InstallName, query: LogQuery) -> BoxStream<'static, Result<LogLine>> {
        match self.lock().by_name.get(name) {
            Some(deployment) => logs::read(&deployment.server.supervisor.shared.logs, &query),
            None => stream::iter([Err(not_found(name))]).boxed(),
        }
    }
}

#[async_trait]
impl RuntimeRestart for ProcessRuntime {
    async fn restart(&self, name: &InstallName, kind: Restart) -> Result<()> {
        let server = {
            let mut deployments = self.lock();
            let deployment = deployments.by_name.get(name).ok_or_else(|| not_found(name))?;
            if kind == Restart::Reset {
                let plan = deployment.plan.clone();
                self.put(&mut deployments, name, plan);
                return Ok(());
            }
            deployment.restart_apart(self.config.drain);
            deployment.server.clone()
        };
        server.restart(self.config.drain).await;
        Ok(())
    }
}

impl Drop for ProcessRuntime {
    fn drop(&mut self) {
        // Callers may still hold channels: those must not keep a process alive.
        for deployment in self.lock().by_name.values() {
            deployment.kill();
            deployment.server.supervisor.shared.logs.close();
        }
    }
}

impl fmt::Debug for ProcessRuntime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProcessRuntime")
            .field("config", &self.config)
            .field("board", &self.board)
            .finish_non_exhaustive()
    }
}

fn not_found(name: &InstallName) -> Error {
    Error::not_found("deployment", name)
}

fn shut_down() -> Error {
    Error::unavailable("the process runtime", "it was shut down")
}

/// Runs `end` when it is dropped.
fn scopeguard(end: impl FnOnce()) -> impl Drop {
    struct Guard<F: FnOnce()>(Option<F>);
    impl<F: FnOnce()> Drop for Guard<F> {
        fn drop(&mut self) {
            if let Some(end) = self.0.take() {
                end();
            }
        }
    }
    Guard(Some(end))
}
