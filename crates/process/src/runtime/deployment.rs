//! One deployment of the process runtime.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use portolan_core::{
    Channel, Endpoint, Error, Failure, FailureKind, HttpEndpoint, InstallName, Result, RunSpec, Sharing, Source,
    Status, StatusBoard, StatusEvent, Transport,
};
use url::Url;

use super::ProcessRuntime;
use crate::{
    ProcessConfig, StdioServer,
    command_factory::SpecCommandFactory,
    per_session::{PerSession, ProcessStarter},
    process_loop,
    stdio_channel::Phase,
    supervisor::{StartMode, Supervisor},
};

/// What runs under one name.
pub(super) struct Deployment {
    pub(super) validated: ValidatedSpec,
    /// Also for a server that is spoken to by HTTP; then it is not handed out as a channel.
    pub(super) server: Arc<StdioServer>,
    /// The processes beside it, where each conversation has its own.
    per_session: Option<Arc<PerSession>>,
    status_gate: Arc<StatusGate>,
}

/// A spec that was found fit to run here.
#[derive(Clone)]
pub(super) struct ValidatedSpec {
    pub(super) spec: RunSpec,
    /// Where it is reached, unless by stdio.
    http: Option<(u16, Url)>,
}

/// Lets statuses onto the board, until another deployment takes the place of this one.
pub(super) struct StatusGate {
    install: InstallName,
    board: StatusBoard,
    clock: Arc<dyn portolan_core::Clock>,
    open: Mutex<bool>,
}

impl ValidatedSpec {
    /// Refuses what can never run here, naming what could run it.
    pub(super) fn of(spec: &RunSpec) -> Result<Self> {
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
            Sharing::PerSession { max: 0 } => {
                let problem = "allows no session at all; give a max of 1 or more";
                return Err(Error::invalid("sharing", problem));
            }
            Sharing::PerSession { .. } if http.is_none() => {}
            _ => {
                let problem = "a server that is spoken to by HTTP keeps its sessions apart itself; use shared";
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
        validated: ValidatedSpec,
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
            spec: validated.spec.clone(),
            credentials: runtime.credentials.clone(),
        };
        let another = factory.clone();
        let speech = match &validated.http {
            Some((port, _)) => process_loop::Transport::Http { port: *port },
            None => process_loop::Transport::Stdio,
        };
        let supervisor = Supervisor::start(
            validated.spec.server.as_str(),
            Box::new(factory),
            speech,
            runtime.config.clone(),
            Box::new(move |status, restarts| reporting.report(status, restarts)),
            predecessor.map_or(StartMode::Fresh, StartMode::Replace),
        );
        let server = Arc::new(StdioServer { supervisor });
        let per_session = match validated.spec.sharing {
            Sharing::PerSession { max } => {
                let start = process_starter(another, server.clone(), runtime.config.clone());
                let idle = runtime.config.session_idle;
                Some(Arc::new(PerSession::new(server.clone(), start, max, idle)))
            }
            _ => None,
        };
        Self {
            validated,
            server,
            per_session,
            status_gate,
        }
    }

    /// Starts the processes of conversations anew, when they are next called.
    pub(super) fn restart_sessions(&self, drain: Duration) {
        if let Some(per_session) = &self.per_session {
            per_session.restart(drain);
        }
    }

    /// Another deployment takes its place, or none: no later status of this one is told, and no conversation begins. Calls
    /// in conversations have `drain` to finish.
    pub(super) fn close(&self, drain: Duration) {
        self.status_gate.shut();
        if let Some(per_session) = &self.per_session {
            per_session.stop(drain);
        }
    }

    /// Ends all processes at once.
    pub(super) fn kill(&self) {
        self.status_gate.shut();
        if let Some(per_session) = &self.per_session {
            per_session.kill();
        }
        self.server.supervisor.kill();
    }

    fn channel(&self) -> Arc<dyn Channel> {
        match &self.per_session {
            Some(per_session) => per_session.clone(),
            None => self.server.clone(),
        }
    }

    pub(super) fn endpoint(&self, name: &InstallName) -> Result<Endpoint> {
        let failure = match (self.server.phase(), &self.validated.http) {
            // Calls wait where they are: in the channel.
            (Phase::Ready(_) | Phase::Starting(_), None) => return Ok(Endpoint::Channel(self.channel())),
            (Phase::Ready(_), Some((_, url))) => {
                let mut endpoint = HttpEndpoint::new(url.clone());
                endpoint.era = self.validated.spec.era;
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

/// Starts processes of the same server, whose log is part of its.
fn process_starter(factory: SpecCommandFactory, server: Arc<StdioServer>, config: ProcessConfig) -> ProcessStarter {
    let (name, logs) = (factory.spec.server.clone(), server.supervisor.shared.logs.clone());
    Box::new(move || {
        let supervisor = Supervisor::start(
            name.as_str(),
            Box::new(factory.clone()),
            process_loop::Transport::Stdio,
            config.clone(),
            // What the install is said to be like is how the process is that answers for all.
            Box::new(|_: Status, _: u32| {}),
            StartMode::Beside(logs.clone()),
        );
        Arc::new(StdioServer { supervisor })
    })
}

impl StatusGate {
    /// No later status of this deployment reaches the board.
    pub(super) fn shut(&self) {
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
