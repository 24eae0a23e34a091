//! The state of every install: the record, the runtime and the server itself, put together.

use std::{collections::BTreeMap, time::Duration};

use futures_util::{StreamExt, stream};
use jiff::Timestamp;
use serde::Serialize;
use tokio::time::{Instant, timeout};

use crate::{
    Error, Failure, FailureKind, Install, InstallName, InstallState, LogQuery, OmittedDefinition, Owner, RegistryExt,
    Result, ServerName, ServerSpec, Status, StatusEvent,
};

use super::{Orchestrator, outcome::failure_of};

/// How many installs are looked at at once.
const AT_ONCE: usize = 8;

/// How many of the last log lines a status has.
const LOG_LINES: usize = 10;

/// The state of one install, as it is now.
///
/// It serialises to JSON, for a status page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct InstallStatus {
    /// The install.
    pub install: InstallName,
    /// The server that it was made from.
    pub server: ServerName,
    /// Whose it is.
    pub owner: Owner,
    /// Its state.
    pub state: LiveState,
    /// Why it cannot be called, and what to do about it; `None` for one that can.
    pub failure: Option<Failure>,
    /// Since when it is in this state, as far as that is known.
    pub since: Timestamp,
    /// How often the runtime started it again since it was made. 0 for a remote server.
    pub restarts: u32,
    /// The number of its tools when it was last asked for them.
    pub tools: usize,
    /// The tools that were left out then, because their definitions do not fit the protocol's schema.
    pub omitted: Vec<OmittedDefinition>,
    /// The last lines of its log, at most 10, where its runtime keeps one.
    pub log: Vec<String>,
}

/// The states of an install.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum LiveState {
    /// It is being installed, or on its way up.
    Starting,
    /// It can be called.
    Ready,
    /// Its server ended and is being started again.
    Restarting,
    /// It cannot be called.
    Failed,
    /// Its server sleeps; a call wakes it.
    Asleep,
    /// Its server wakes.
    Waking,
    /// It is being removed.
    Removing,
}

/// What remote servers answered, and when.
pub(super) type Probes = BTreeMap<InstallName, Probe>;

/// The outcome of asking a remote server for its tools.
#[derive(Clone, Debug)]
pub(super) struct Probe {
    at: Instant,
    since: Timestamp,
    failure: Option<Failure>,
}

impl Orchestrator {
    /// Returns the state of every install, oldest install first.
    ///
    /// A self-hosted server is as its runtime says. A remote one is asked for its tools, at most once in
    /// [`Options::probe_age`](super::Options::probe_age) however often this is called. A server that does not answer within
    /// [`Options::probe_timeout`](super::Options::probe_timeout) is failed.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] or [`Error::Backend`] if the registry cannot be read. A runtime or a server that does not
    /// answer is no error: its installs say so.
    pub async fn status(&self) -> Result<Vec<InstallStatus>> {
        // One at a time, so that many readers of a status page ask each server once.
        let mut probes = self.probes.lock().await;
        let mut installs = self.parts.registry.installs().await?;
        installs.retain(|install| !install.value.is_deleted());
        let servers = self.parts.registry.servers().await?;
        let servers: BTreeMap<&ServerName, &ServerSpec> = servers
            .iter()
            .map(|server| (&server.value.name, &server.value))
            .collect();
        // By value: a stream of references makes a future that nobody can spawn.
        let looked_at = stream::iter(installs).map(|install| {
            let install = install.value;
            let (server, known) = (servers.get(&install.server), probes.get(&install.name).cloned());
            self.look_at(server.map(|server| (*server).clone()), install, known)
        });
        let looked_at: Vec<_> = looked_at.buffered(AT_ONCE).collect().await;
        let mut fresh = Probes::new();
        let mut all = Vec::with_capacity(looked_at.len());
        for (status, probe) in looked_at {
            fresh.extend(probe.map(|probe| (status.install, probe)));
            all.push(status);
        }
        *probes = fresh;
        Ok(all)
    }

    async fn look_at(
        &self,
        server: Option<ServerSpec>,
        install: Install,
        known: Option<Probe>,
    ) -> (InstallStatus, Option<Probe>) {
        let mut status = recorded(&install);
        let Some(server) = server else { return (status, None) };
        if server.is_self_hosted() {
            if install.is_ready() {
                self.running(&install, &mut status).await;
            }
            status.log = self.log(&install.name).await;
            return (status, None);
        }
        if !install.is_ready() {
            return (status, None);
        }
        let probe = self.probe(&server, &install, known).await;
        if let Some(failure) = &probe.failure {
            (status.state, status.failure) = (LiveState::Failed, Some(failure.clone()));
        }
        status.since = probe.since;
        (status, Some(probe))
    }

    /// Fills in what the runtime says.
    async fn running(&self, install: &Install, status: &mut InstallStatus) {
        let failure = match self.parts.runtime.status(&install.name).await {
            Ok(event) => return status.take(event),
            Err(Error::NotFound { .. }) => Failure::new(FailureKind::Stopped, "the runtime does not run it")
                .remedy("install it again, or call Orchestrator::repair"),
            Err(error) => failure_of(error),
        };
        (status.state, status.failure) = (LiveState::Failed, Some(failure));
    }

    async fn log(&self, name: &InstallName) -> Vec<String> {
        let Some(logs) = self.parts.runtime.logs() else {
            return Vec::new();
        };
        let query = LogQuery {
            tail: Some(LOG_LINES),
            ..LogQuery::default()
        };
        let lines = logs.logs(name, query).take(LOG_LINES).collect::<Vec<_>>();
        // A log that cannot be read now is no reason to give no status.
        let lines = timeout(self.options.probe_timeout, lines).await.unwrap_or_default();
        lines.into_iter().flatten().map(|line| line.text).collect()
    }

    /// Asks a remote server for its tools, unless that was done a short while ago.
    async fn probe(&self, server: &ServerSpec, install: &Install, known: Option<Probe>) -> Probe {
        if let Some(probe) = &known
            && probe.at.elapsed() < self.options.probe_age
            && install.updated <= probe.since
        {
            return probe.clone();
        }
        let within = self.options.probe_timeout;
        let failure = match timeout(within, self.ask_for_tools(server, install)).await {
            Ok(Ok(_)) => None,
            Ok(Err(error)) => Some(failure_of(error)),
            Err(_) => Some(no_answer(within)),
        };
        let kind = |failure: &Option<Failure>| failure.as_ref().map(|failure| failure.kind);
        let since = match known {
            Some(known) if kind(&known.failure) == kind(&failure) => known.since,
            _ => self.parts.clock.now(),
        };
        let at = Instant::now();
        Probe { at, since, failure }
    }
}

impl InstallStatus {
    fn take(&mut self, event: StatusEvent) {
        let (state, failure) = match event.status {
            Status::Pending { .. } => (LiveState::Starting, None),
            Status::Ready => (LiveState::Ready, None),
            Status::Restarting { failure } => (LiveState::Restarting, Some(failure)),
            Status::Failed { failure } => (LiveState::Failed, Some(failure)),
            Status::Asleep => (LiveState::Asleep, None),
            Status::Waking => (LiveState::Waking, None),
            Status::Removed => (LiveState::Removing, None),
        };
        (self.state, self.failure) = (state, failure);
        (self.since, self.restarts) = (event.at, event.restarts);
    }
}

/// What the record alone says.
fn recorded(install: &Install) -> InstallStatus {
    let (state, failure) = match &install.state {
        InstallState::Reserved | InstallState::Pending => (LiveState::Starting, None),
        InstallState::Ready => (LiveState::Ready, None),
        InstallState::Failed { failure } => (LiveState::Failed, Some(failure.clone())),
        InstallState::Deleted { .. } | InstallState::Removing => (LiveState::Removing, None),
    };
    InstallStatus {
        install: install.name,
        server: install.server.clone(),
        owner: install.owner.clone(),
        state,
        failure,
        since: install.updated,
        restarts: 0,
        tools: install.tools.len(),
        omitted: install.omitted.clone(),
        log: Vec::new(),
    }
}

fn no_answer(within: Duration) -> Failure {
    let message = format!("it does not answer within {}", crate::failure::seconds(within));
    Failure::new(FailureKind::Timeout, message).remedy("check that it runs and can be reached from here")
}
