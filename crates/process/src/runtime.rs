//! `ProcessRuntime`: each deployment is a child process.

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

use self::deployment::{Deployment, ValidatedSpec};
use crate::{ProcessConfig, logs};

/// A [`Runtime`] on this machine: each deployment is a supervised child process.
///
/// It runs [`Source::Command`](portolan_core::Source::Command). A server reached by stdio becomes an
/// [`Endpoint::Channel`] for all its callers; one reached by HTTP has to listen on its port of `127.0.0.1`, and is ready
/// when it does. Images and remote servers are refused as invalid.
///
/// - Secrets are read each time a server starts, so a restart picks up a new one. They reach the environment of the
///   child, or files of mode 0600 below the directory that `PORTOLAN_SECRETS_DIR` names to the child.
/// - With [`Sharing::PerSession`](portolan_core::Sharing::PerSession) each conversation has a process of its own
///   ([`Channel::isolates_conversations`](portolan_core::Channel::isolates_conversations)), and one more serves requests outside of
///   conversations. Status, process id and restart count are those of that one; the log is that of all.
/// - While a stdio server starts or restarts, its endpoint exists and calls wait within their own timeout.
/// - A changed spec replaces the process after calls under way had [`ProcessConfig::drain`] to finish.
/// - [`shutdown`](Runtime::shutdown) ends all processes in order: calls under way may finish, then inputs are closed, then
///   `SIGTERM`, and `SIGKILL` at the end of the given time.
/// - Dropping the runtime kills all processes. If the host is killed instead, see the [crate docs](crate). A new runtime knows nothing of earlier deployments: the host calls `ensure` for each again, as
///   the orchestrator's repair does.
///
/// ```
/// use std::sync::Arc;
/// use portolan_core::{Runtime, memory::MemoryCredentials};
/// use portolan_process::{ProcessConfig, ProcessRuntime};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), portolan_core::Error> {
/// let credentials = Arc::new(MemoryCredentials::new());
/// let runtime = ProcessRuntime::new(ProcessConfig::new("/run/portolan"), credentials);
/// assert!(runtime.list().await?.is_empty());
/// # Ok(())
/// # }
/// ```
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
    /// Returns a runtime without deployments. Its methods have to be called within a tokio runtime.
    pub fn new(config: ProcessConfig, credentials: Arc<dyn CredentialReader>) -> Self {
        Self {
            config,
            credentials,
            board: StatusBoard::new(),
            deployments: Mutex::default(),
        }
    }

    /// Returns the process id of the deployment `name`; `None` while it does not run.
    pub fn pid(&self, name: &InstallName) -> Option<u32> {
        self.lock().by_name.get(name)?.server.pid()
    }

    /// Starts a deployment, which replaces the present one of that name.
    fn replace(&self, deployments: &mut Deployments, name: &InstallName, spec: ValidatedSpec) {
        let predecessor = deployments.by_name.remove(name).map(|old| {
            old.close(self.config.drain);
            old.server
        });
        let deployment = Deployment::start(*name, spec, self, predecessor);
        deployments.by_name.insert(*name, deployment);
    }

    fn lock(&self) -> MutexGuard<'_, Deployments> {
        self.deployments.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Runtime for ProcessRuntime {
    async fn ensure(&self, name: &InstallName, spec: &RunSpec) -> Result<()> {
        let valid = ValidatedSpec::new(spec)?;
        let mut deployments = self.lock();
        if deployments.closed {
            return Err(shut_down());
        }
        if deployments.by_name.get(name).is_none_or(|old| old.spec.spec != *spec) {
            self.replace(&mut deployments, name, valid);
        }
        Ok(())
    }

    async fn remove(&self, name: &InstallName) -> Result<()> {
        let Some(old) = self.lock().by_name.remove(name) else {
            return Ok(());
        };
        old.close(Duration::ZERO);
        let server = old.server.clone();
        // If this future is dropped, the process is killed.
        let kill_on_drop = defer(move || old.kill());
        server.stop(Duration::ZERO).await;
        drop(kill_on_drop);
        server.supervisor.shared.logs.close();
        // It may have been ensured again meanwhile.
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
                let spec = deployment.spec.clone();
                self.replace(&mut deployments, name, spec);
                return Ok(());
            }
            deployment.restart_sessions(self.config.drain);
            deployment.server.clone()
        };
        server.restart(self.config.drain).await;
        Ok(())
    }
}

impl Drop for ProcessRuntime {
    fn drop(&mut self) {
        // Callers may hold channels, which must not keep a process alive.
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
fn defer(end: impl FnOnce()) -> impl Drop {
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
