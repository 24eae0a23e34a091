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
    keeper::Speech,
    per_session::{PerSession, Start},
    recipe::SpecRecipe,
    stdio_channel::Phase,
    supervisor::{Beginning, Supervisor},
};

/// What runs under one name.
pub(super) struct Deployment {
    pub(super) plan: Plan,
    /// Also for a server that is spoken to by HTTP; then it is not handed out as a channel.
    pub(super) server: Arc<StdioServer>,
    /// The processes beside it, where each conversation has its own.
    apart: Option<Arc<PerSession>>,
    gate: Arc<Gate>,
}

/// A spec that was found fit to run here.
#[derive(Clone)]
pub(super) struct Plan {
    pub(super) spec: RunSpec,
    /// Where it is reached, unless by stdio.
    http: Option<(u16, Url)>,
}

/// Lets statuses onto the board, until another deployment takes the place of this one.
pub(super) struct Gate {
    install: InstallName,
    board: StatusBoard,
    clock: Arc<dyn portolan_core::Clock>,
    open: Mutex<bool>,
}

impl Plan {
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
        plan: Plan,
        runtime: &ProcessRuntime,
        before: Option<Arc<StdioServer>>,
    ) -> Self {
        let gate = Arc::new(Gate {
            install,
            board: runtime.board.clone(),
            clock: runtime.config.clock.clone(),
            open: Mutex::new(true),
        });
        let reporting = gate.clone();
        let recipe = SpecRecipe {
            spec: plan.spec.clone(),
            credentials: runtime.credentials.clone(),
        };
        let another = recipe.clone();
        let speech = match &plan.http {
            Some((port, _)) => Speech::Http { port: *port },
            None => Speech::Stdio,
        };
        let supervisor = Supervisor::start(
            plan.spec.server.as_str(),
            Box::new(recipe),
            speech,
            runtime.config.clone(),
            Box::new(move |status, restarts| reporting.report(status, restarts)),
            before.map_or(Beginning::Fresh, Beginning::After),
        );
        let server = Arc::new(StdioServer { supervisor });
        let apart = match plan.spec.sharing {
            Sharing::PerSession { max } => {
                let start = starts(another, server.clone(), runtime.config.clone());
                let idle = runtime.config.session_idle;
                Some(Arc::new(PerSession::new(server.clone(), start, max, idle)))
            }
            _ => None,
        };
        Self {
            plan,
            server,
            apart,
            gate,
        }
    }

    /// Starts the processes of conversations anew, when they are next called.
    pub(super) fn restart_apart(&self, drain: Duration) {
        if let Some(apart) = &self.apart {
            apart.restart(drain);
        }
    }

    /// Another deployment takes its place, or none: no later status of this one is told, and no conversation begins. Calls
    /// in conversations have `drain` to finish.
    pub(super) fn close(&self, drain: Duration) {
        self.gate.shut();
        if let Some(apart) = &self.apart {
            apart.stop(drain);
        }
    }

    /// Ends all processes at once.
    pub(super) fn kill(&self) {
        self.gate.shut();
        if let Some(apart) = &self.apart {
            apart.kill();
        }
        self.server.supervisor.kill();
    }

    /// Waits until the processes of conversations that were told to end are gone.
    pub(super) async fn conversations_ended(&self) {
        if let Some(apart) = &self.apart {
            apart.ended().await;
        }
    }

    /// Everything that runs for it now.
    pub(super) fn servers(&self) -> Vec<Arc<StdioServer>> {
        let mut servers = self.apart.as_ref().map_or_else(Vec::new, |apart| apart.servers());
        servers.push(self.server.clone());
        servers
    }

    fn channel(&self) -> Arc<dyn Channel> {
        match &self.apart {
            Some(apart) => apart.clone(),
            None => self.server.clone(),
        }
    }

    pub(super) fn endpoint(&self, name: &InstallName) -> Result<Endpoint> {
        let failure = match (self.server.phase(), &self.plan.http) {
            // Calls wait where they are: in the channel.
            (Phase::Ready(_) | Phase::Starting(_), None) => return Ok(Endpoint::Channel(self.channel())),
            (Phase::Ready(_), Some((_, url))) => {
                let mut endpoint = HttpEndpoint::new(url.clone());
                endpoint.era = self.plan.spec.era;
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
fn starts(recipe: SpecRecipe, server: Arc<StdioServer>, config: ProcessConfig) -> Start {
    let (name, logs) = (recipe.spec.server.clone(), server.supervisor.shared.logs.clone());
    Box::new(move || {
        let supervisor = Supervisor::start(
            name.as_str(),
            Box::new(recipe.clone()),
            Speech::Stdio,
            config.clone(),
            // What the install is said to be like is how the process is that answers for all.
            Box::new(|_: Status, _: u32| {}),
            Beginning::Beside(logs.clone()),
        );
        Arc::new(StdioServer { supervisor })
    })
}

impl Gate {
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
