//! One deployment of the process runtime.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use portolan_core::{
    Channel, Endpoint, Error, Failure, FailureKind, HttpEndpoint, InstallName, Result, RunSpec, Sharing, Source,
    Status, StatusBoard, StatusEvent, Transport,
};
use tokio::time::Instant;
use url::Url;

use super::ProcessRuntime;
use crate::{
    ProcessConfig, StdioServer,
    channel::Phase,
    command_factory::SpecCommandFactory,
    per_session::{PerSession, ProcessStarter},
    per_session_server,
    supervisor::{self, StartMode, Supervisor},
};

/// A server that runs under one name, with the processes of its conversations.
pub(super) struct Deployment {
    pub(super) spec: ValidatedSpec,
    /// The server of requests outside of conversations. It supervises a server reached by HTTP too, but is no channel
    /// to it.
    pub(super) server: Arc<StdioServer>,
    /// The processes of conversations, if each has its own.
    per_session: Option<Arc<PerSession>>,
    status_gate: Arc<StatusGate>,
}

/// A spec that this runtime can run.
#[derive(Clone)]
pub(super) struct ValidatedSpec {
    pub(super) spec: RunSpec,
    /// Its port and URL; `None` if it is reached by stdio.
    http: Option<(u16, Url)>,
}

/// Passes statuses on to the board until the deployment is replaced or removed.
pub(super) struct StatusGate {
    install: InstallName,
    board: StatusBoard,
    clock: Arc<dyn portolan_core::Clock>,
    open: Mutex<bool>,
}

impl ValidatedSpec {
    /// Checks that this runtime can run `spec`; the error names what could run it.
    pub(super) fn new(spec: &RunSpec) -> Result<Self> {
        let transport = match &spec.source {
            Source::Command { transport, .. } => transport,
            Source::Image { .. } => {
                let problem = "an image does not run as a child process; use a Kubernetes runtime, or name a command";
                return Err(Error::invalid("source", problem));
            }
            _ => {
                let problem = "a remote server needs no runtime; the gateway calls it where it is";
                return Err(Error::invalid("source", problem));
            }
        };
        let http = match transport {
            Transport::Stdio => None,
            Transport::Http { port, path } => Some((*port, url(*port, path)?)),
            _ => return Err(Error::invalid("transport", "is not known to the process runtime")),
        };
        match spec.sharing {
            Sharing::Shared => {}
            Sharing::PerSession { max: 0 } => per_session_server::check(&spec.sharing)?,
            Sharing::PerSession { .. } if http.is_none() => {}
            _ => {
                let problem = "a server reached by HTTP isolates its sessions itself; use shared";
                return Err(Error::invalid("sharing", problem));
            }
        }
        let spec = spec.clone();
        Ok(Self { spec, http })
    }
}

impl Deployment {
    pub(super) fn start(
        install: InstallName,
        spec: ValidatedSpec,
        runtime: &ProcessRuntime,
        predecessor: Option<Arc<StdioServer>>,
    ) -> Self {
        let status_gate = Arc::new(StatusGate {
            install,
            board: runtime.board.clone(),
            clock: runtime.config.clock.clone(),
            open: Mutex::new(true),
        });
        let reporting = status_gate.clone();
        let factory = SpecCommandFactory {
            spec: spec.spec.clone(),
            credentials: runtime.credentials.clone(),
        };
        let session_factory = factory.clone();
        let transport = match &spec.http {
            Some((port, _)) => supervisor::Transport::Http { port: *port },
            None => supervisor::Transport::Stdio,
        };
        let supervisor = Supervisor::start(
            spec.spec.server.as_str(),
            Box::new(factory),
            transport,
            runtime.config.clone(),
            Box::new(move |status, restarts| reporting.report(status, restarts)),
            predecessor.map_or(StartMode::Fresh, |server| StartMode::Replace(server.supervisor.clone())),
        );
        let server = Arc::new(StdioServer { supervisor });
        let per_session = match spec.spec.sharing {
            Sharing::PerSession { max } => {
                let start = process_starter(session_factory, server.clone(), runtime.config.clone());
                let idle = runtime.config.session_idle;
                Some(Arc::new(PerSession::new(server.clone(), start, max, idle)))
            }
            _ => None,
        };
        Self {
            spec,
            server,
            per_session,
            status_gate,
        }
    }

    /// Stops the processes of conversations; their next calls start new ones.
    pub(super) fn restart_sessions(&self, drain: Duration) {
        if let Some(per_session) = &self.per_session {
            per_session.restart(drain);
        }
    }

    /// Reports no later status and begins no conversation: the deployment is replaced or removed. Calls in conversations
    /// have `drain` to finish.
    pub(super) fn close(&self, drain: Duration) {
        self.close_by(drain, None);
    }

    /// Closes it likewise; the processes of conversations end by `deadline`.
    pub(super) fn close_by(&self, drain: Duration, deadline: Option<Instant>) {
        self.status_gate.close();
        if let Some(per_session) = &self.per_session {
            per_session.stop_by(drain, deadline);
        }
    }

    /// Kills all processes.
    pub(super) fn kill(&self) {
        self.status_gate.close();
        if let Some(per_session) = &self.per_session {
            per_session.kill();
        }
        self.server.supervisor.kill();
    }

    /// Waits until the processes of conversations that are being stopped are gone.
    pub(super) async fn conversations_stopped(&self) {
        if let Some(per_session) = &self.per_session {
            per_session.stopped().await;
        }
    }

    /// Returns every process of the deployment.
    pub(super) fn servers(&self) -> Vec<Arc<StdioServer>> {
        let per_session = self.per_session.as_ref();
        let mut servers = per_session.map_or_else(Vec::new, |per_session| per_session.servers());
        servers.push(self.server.clone());
        servers
    }

    fn channel(&self) -> Arc<dyn Channel> {
        match &self.per_session {
            Some(per_session) => per_session.clone(),
            None => self.server.clone(),
        }
    }

    pub(super) fn endpoint(&self, name: &InstallName) -> Result<Endpoint> {
        let failure = match (self.server.phase(), &self.spec.http) {
            // Calls wait in the channel.
            (Phase::Ready(_) | Phase::Starting(_), None) => return Ok(Endpoint::Channel(self.channel())),
            (Phase::Ready(_), Some((_, url))) => {
                let mut endpoint = HttpEndpoint::new(url.clone());
                endpoint.era = self.spec.spec.era;
                return Ok(Endpoint::Http(endpoint));
            }
            (Phase::Starting(None), Some(_)) => Failure::new(FailureKind::Starting, "it is still starting"),
            (Phase::Starting(Some(failure)) | Phase::Down(failure), _) => failure,
        };
        Err(Error::NotReady {
            what: "deployment",
            name: name.to_string(),
            failure,
        })
    }
}

/// Returns a starter of more processes of `server`, whose log lines go to its log too.
fn process_starter(factory: SpecCommandFactory, server: Arc<StdioServer>, config: ProcessConfig) -> ProcessStarter {
    let shared = &server.supervisor.shared;
    let (name, logs, probe) = (factory.spec.server.clone(), shared.logs.clone(), shared.probe.clone());
    Box::new(move || {
        let supervisor = Supervisor::start(
            name.as_str(),
            Box::new(factory.clone()),
            supervisor::Transport::Stdio,
            config.clone(),
            // The status of the deployment is that of `server` alone.
            Box::new(|_: Status, _: u32| {}),
            StartMode::Beside(logs.clone(), probe.clone()),
        );
        Arc::new(StdioServer { supervisor })
    })
}

impl StatusGate {
    /// Keeps later statuses from the board.
    pub(super) fn close(&self) {
        *self.open.lock().unwrap_or_else(PoisonError::into_inner) = false;
    }

    fn report(&self, status: Status, restarts: u32) {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if *open {
            let mut event = StatusEvent::new(self.install, status, self.clock.now());
            event.restarts = restarts;
            self.board.set(event);
        }
    }
}

fn url(port: u16, path: &str) -> Result<Url> {
    if port == 0 {
        return Err(Error::invalid("port", "is 0; name the port that the server listens on"));
    }
    if !path.starts_with('/') {
        return Err(Error::invalid("path", format!("{path:?} does not begin with '/'")));
    }
    Url::parse(&format!("http://127.0.0.1:{port}{path}")).map_err(|e| Error::invalid("path", e.to_string()))
}
