//! One deployment: who wants it, what is known about it, and how it is told.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use k8s_openapi::api::{apps::v1::Deployment, core::v1::Pod};
use portolan_core::{Endpoint, Error, Failure, FailureKind, InstallName, Result, RunSpec, Status, StatusEvent};
use tokio::{sync::Notify, time::Instant};

use crate::{
    annotations,
    apply::Accepted,
    backoff::Pace,
    config::Environment,
    endpoint::Road,
    name::Unit,
    namespace::Target,
    plan::Plan,
    render::Restarted,
    restart_counter::Restarts,
    runtime_context::Ground,
    status::{self, Crash, Facts, Finding},
};

/// One deployment.
pub(crate) struct Cell {
    pub(crate) unit: Unit,
    pub(crate) target: Arc<Target>,
    pub(crate) ground: Arc<Ground>,
    /// Whoever writes to the cluster for this deployment holds it.
    pub(crate) hands: tokio::sync::Mutex<()>,
    pub(crate) changed: Notify,
    state: Mutex<State>,
}

/// What is known.
pub(crate) struct State {
    /// Who wants it, and what each asked for.
    pub(crate) users: BTreeMap<InstallName, Wish>,
    /// Users that were seen written on a shared deployment.
    pub(crate) seen: BTreeSet<InstallName>,
    /// What is rendered: the wish of the oldest user, so that many who share a deployment do not take turns.
    pub(crate) wish: Option<Wish>,
    /// Grows with each wish.
    pub(crate) revision: u64,
    pub(crate) plan: Option<Arc<Plan>>,
    /// The revision that the plan is of.
    pub(crate) planned: u64,
    pub(crate) accepted: Accepted,
    /// Why the last attempt to write failed, and when the next one is.
    pub(crate) trouble: Option<Failure>,
    pub(crate) retry_at: Option<Instant>,
    pub(crate) pace: Pace,
    /// A restart that was asked for and is not written yet.
    pub(crate) restart: Option<Restarted>,
    restarts: Restarts,
    /// A hard reset is under way.
    pub(crate) resetting: bool,
    pub(crate) removing: bool,
    /// For which template and waking it was ready.
    pub(crate) ready: Option<(String, Option<Timestamp>)>,
    pub(crate) words: Option<(Crash, Vec<String>)>,
    /// The run whose last words are to be read.
    pub(crate) crash: Option<Crash>,
    pub(crate) road: Road,
    /// When it was last called through this runtime.
    pub(crate) used_at: Timestamp,
    /// It is not sent to sleep before.
    pub(crate) rest_at: Option<Timestamp>,
    endpoint: std::result::Result<Endpoint, Failure>,
    /// What the board says, by install.
    told: BTreeMap<InstallName, Status>,
}

/// What is wanted.
#[derive(Clone)]
pub(crate) struct Wish {
    pub(crate) name: InstallName,
    pub(crate) spec: RunSpec,
    pub(crate) environment: Environment,
}

impl State {
    /// Chooses the wish that is rendered. Gives whether it is another one than before.
    fn choose(&mut self) -> bool {
        let first = self.users.values().next().cloned();
        let is_same = match (&self.wish, &first) {
            (Some(old), Some(new)) => same_but_owner(&old.spec, &new.spec),
            (old, new) => old.is_none() && new.is_none(),
        };
        if is_same {
            return false;
        }
        self.wish = first;
        self.revision += 1;
        self.trouble = None;
        self.retry_at = None;
        self.pace.begin_anew();
        true
    }
}

impl Cell {
    pub(crate) fn new(unit: Unit, target: Arc<Target>, ground: Arc<Ground>) -> Self {
        let state = State {
            users: BTreeMap::new(),
            seen: BTreeSet::new(),
            wish: None,
            revision: 0,
            plan: None,
            planned: 0,
            accepted: Accepted::new(),
            trouble: None,
            retry_at: None,
            pace: Pace::new(Duration::from_secs(1), Duration::from_secs(60)),
            restart: None,
            restarts: Restarts::default(),
            resetting: false,
            removing: false,
            ready: None,
            words: None,
            crash: None,
            road: Road::None,
            used_at: ground.now(),
            rest_at: None,
            endpoint: Err(starting("the host has not asked for it since it started")),
            told: BTreeMap::new(),
        };
        Self {
            unit,
            target,
            ground,
            hands: tokio::sync::Mutex::new(()),
            changed: Notify::new(),
            state: Mutex::new(state),
        }
    }

    /// What is known. Never held across an await; taken before the view, where both are.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records what is wanted. The same again changes nothing.
    pub(crate) fn wish(&self, wish: Wish) {
        let mut state = self.state();
        if !state.removing && state.users.get(&wish.name).is_some_and(|old| old.spec == wish.spec) {
            return;
        }
        let name = wish.name;
        state.users.insert(name, wish);
        state.removing = false;
        state.used_at = self.ground.now();
        let told: Vec<_> = if state.choose() {
            state.users.keys().copied().collect()
        } else {
            vec![name]
        };
        for user in told {
            self.tell(&mut state, user, Status::Pending { cause: None });
        }
        drop(state);
        self.changed.notify_one();
    }

    /// The Deployment that the cluster has.
    pub(crate) fn live(&self) -> Option<Arc<Deployment>> {
        let named = self.state().plan.as_ref().map(|plan| plan.deployment.clone());
        let view = self.target.view();
        let by_name = named.and_then(|name| view.deployments.get(&name).cloned());
        by_name.or_else(|| view.deployment_of(&self.unit, &self.target.manager).cloned())
    }

    /// Its pods that can be called, newest first.
    pub(crate) fn callable(&self) -> Vec<Arc<Pod>> {
        let Some(live) = self.live() else { return Vec::new() };
        let pods = self.target.view().pods_of(&live);
        status::callable(&pods).cloned().collect()
    }

    /// Where it is reached, from memory.
    pub(crate) fn endpoint(&self, name: &InstallName) -> Result<Endpoint> {
        let mut state = self.state();
        if !state.users.contains_key(name) && !state.told.contains_key(name) {
            return Err(not_found(name));
        }
        state.used_at = self.ground.now();
        state.endpoint.clone().map_err(|failure| Error::NotReady {
            what: "deployment",
            name: name.to_string(),
            failure,
        })
    }

    /// Looks at everything anew and tells how it is. Gives when to look again.
    pub(crate) fn publish(&self) -> Option<Duration> {
        let mut state = self.state();
        if state.removing {
            state.endpoint = Err(Failure::new(FailureKind::Stopped, "it is being removed"));
            state.road.close();
            return None;
        }
        let now = self.ground.now();
        let seen = self.look(&state);
        self.follow_peers(&mut state, seen.live.as_deref());
        // Pods are known by their Deployment: while there is none, nothing is known of them.
        if seen.live.is_some() {
            state.restarts.look(&seen.pods);
        }
        let Finding {
            mut status,
            look_again,
            crash,
        } = self.find(&state, &seen, now);
        state.crash =
            crash.filter(|crash| state.plan.is_some() && state.words.as_ref().is_none_or(|(of, _)| of != crash));
        if state.resetting {
            let failure = starting("it is being rebuilt by a hard reset; retry shortly");
            status = Status::Restarting { failure };
        }
        if status == Status::Ready {
            let woken = seen
                .live
                .as_ref()
                .and_then(|live| annotations::time(&live.metadata, annotations::WOKEN_AT));
            state.ready = Some((seen.template.clone(), woken));
        }
        let callable: Vec<_> = status::callable(&seen.pods).cloned().collect();
        let road = state
            .plan
            .clone()
            .and_then(|plan| state.road.endpoint(&plan, &callable));
        // A pod that is on its way to sleep, or out of a reset, still answers for a moment.
        let is_closed = state.resetting || status == Status::Asleep;
        state.endpoint = road.filter(|_| !is_closed).ok_or_else(|| unusable(&status));
        let marked = seen.live.iter().flat_map(|live| annotations::installs(&live.metadata));
        let all: BTreeSet<_> = state.users.keys().copied().chain(marked).collect();
        let gone: Vec<_> = state.told.keys().filter(|name| !all.contains(name)).copied().collect();
        for name in gone {
            self.tell(&mut state, name, Status::Removed);
        }
        for name in all {
            self.tell(&mut state, name, status.clone());
        }
        look_again
    }

    /// Whether `name` asked for it here.
    pub(crate) fn is_wanted_by(&self, name: &InstallName) -> bool {
        self.state().users.contains_key(name)
    }

    /// Whether it is for `name`, asked for or found in the cluster.
    pub(crate) fn is_used_by(&self, name: &InstallName) -> bool {
        if matches!(&self.unit, Unit::Install(own) if own != name) {
            return false;
        }
        self.is_wanted_by(name) || self.marked().contains(name)
    }

    /// Everybody whom it is for.
    pub(crate) fn all_users(&self) -> BTreeSet<InstallName> {
        let marked = self.marked();
        self.state().users.keys().copied().chain(marked).collect()
    }

    /// The users that are written on it.
    fn marked(&self) -> Vec<InstallName> {
        let live = self.live().filter(|live| !annotations::is_leaving(&live.metadata));
        live.map(|live| annotations::installs(&live.metadata))
            .unwrap_or_default()
    }

    /// `name` wants it no longer. Gives whether it was the last one.
    pub(crate) fn begin_leaving(&self, name: &InstallName) -> bool {
        let others = self.all_users().iter().any(|user| user != name);
        if others {
            let mut state = self.state();
            state.users.remove(name);
            state.seen.remove(name);
            // With its user go the secrets that a wish names.
            if !state.users.is_empty() {
                state.choose();
            }
        } else {
            self.state().removing = true;
        }
        self.changed.notify_one();
        !others
    }

    /// The cluster knows that `name` wants it no longer. Gives whether nobody does.
    pub(crate) fn end_leaving(&self, name: &InstallName) -> bool {
        let mut state = self.state();
        let is_over = state.removing;
        if is_over {
            state.users.clear();
            state.plan = None;
        }
        if !state.users.contains_key(name) {
            self.tell(&mut state, *name, Status::Removed);
        }
        is_over
    }

    /// Whether nobody wants it, and the cluster does not have it.
    pub(crate) fn is_forsaken(&self) -> bool {
        self.live().is_none() && self.state().users.is_empty()
    }

    fn look(&self, state: &State) -> Seen {
        let view = self.target.view();
        let named = state
            .plan
            .as_ref()
            .and_then(|plan| view.deployments.get(&plan.deployment));
        let live = named
            .or_else(|| view.deployment_of(&self.unit, &self.target.manager))
            .cloned();
        let pods = live.as_ref().map(|live| view.pods_of(live)).unwrap_or_default();
        let name = |pod: &Arc<Pod>| pod.metadata.name.clone().unwrap_or_default();
        let warnings = pods.iter().map(|pod| view.warnings_of(&name(pod))).collect();
        let wanted = state.plan.as_ref().map(|plan| plan.template.clone());
        let own = live
            .as_ref()
            .and_then(|live| annotations::template_of(live))
            .map(str::to_owned);
        Seen {
            template: wanted.or(own).unwrap_or_default(),
            live,
            pods,
            warnings,
        }
    }

    fn find(&self, state: &State, seen: &Seen, now: Timestamp) -> Finding {
        let live = seen.live.as_deref();
        let digest = live.and_then(|live| annotations::digest(&live.metadata));
        let written = match &state.plan {
            Some(plan) => state.planned == state.revision && digest == Some(&plan.rendered.digest),
            // Found in the cluster and not asked for: it is as it is wanted to be.
            None => state.wish.is_none(),
        };
        let woken = live.and_then(|live| annotations::time(&live.metadata, annotations::WOKEN_AT));
        let silent = (!self.target.is_complete()).then(|| self.target.fault()).flatten();
        let silent = silent.map(|why| Failure::new(FailureKind::Connection, why));
        status::find(&Facts {
            now,
            template: &seen.template,
            deployment: live,
            pods: &seen.pods,
            warnings: &seen.warnings,
            trouble: state.trouble.as_ref().or(silent.as_ref()),
            written,
            was_ready: state
                .ready
                .as_ref()
                .is_some_and(|(template, at)| *template == seen.template && *at == woken),
            waking: woken.is_some_and(|woken| state.ready.as_ref().is_none_or(|(_, at)| *at != Some(woken)))
                && woken.is_some_and(|woken| now.duration_since(woken) < jiff::SignedDuration::from_mins(10)),
            words: state.words.as_ref().map(|(crash, lines)| (crash, lines.as_slice())),
        })
    }

    /// Takes back the wish for what another replica of the host removes, and for who it took off a shared deployment.
    fn follow_peers(&self, state: &mut State, live: Option<&Deployment>) {
        let Some(live) = live else { return };
        if annotations::annotation(&live.metadata, annotations::REMOVING).is_some() {
            state.users.clear();
            state.wish = None;
            return;
        }
        if matches!(self.unit, Unit::Shared(_)) {
            let marked: BTreeSet<_> = annotations::installs(&live.metadata).into_iter().collect();
            let left: Vec<_> = state
                .seen
                .iter()
                .filter(|name| !marked.contains(name))
                .copied()
                .collect();
            for name in left {
                state.users.remove(&name);
            }
            state.seen = marked;
        }
    }

    fn tell(&self, state: &mut State, install: InstallName, status: Status) {
        if status == Status::Removed {
            state.told.remove(&install);
        } else {
            let status = steady(state.told.get(&install), status);
            state.told.insert(install, status);
        }
        let status = state.told.get(&install).cloned().unwrap_or(Status::Removed);
        let mut event = StatusEvent::new(install, status, self.ground.now());
        event.restarts = state.restarts.total();
        self.ground.board.set(event);
    }
}

/// What the view has of it.
struct Seen {
    template: String,
    live: Option<Arc<Deployment>>,
    pods: Vec<Arc<Pod>>,
    warnings: Vec<Vec<crate::object_cache::Warning>>,
}

/// The same failure again keeps its words: how long ago its last event was is told once, not anew with each look.
fn steady(old: Option<&Status>, new: Status) -> Status {
    let failure = |status: &Status| match status {
        Status::Failed { failure } => Some((true, failure.clone())),
        Status::Restarting { failure } => Some((false, failure.clone())),
        _ => None,
    };
    let (Some(old), Some((failed, now))) = (old, failure(&new)) else {
        return new;
    };
    match failure(old) {
        Some((was_failed, before))
            if was_failed == failed
                && before.kind == now.kind
                && before.message == now.message
                && before.detail.len() == now.detail.len() =>
        {
            old.clone()
        }
        _ => new,
    }
}

/// Why it cannot be called, from how it is.
fn unusable(status: &Status) -> Failure {
    match status {
        Status::Failed { failure } | Status::Restarting { failure } => failure.clone(),
        Status::Asleep => starting("it is asleep"),
        Status::Waking => starting("it is waking from its sleep"),
        Status::Pending { cause: Some(cause) } => starting(format!("it is still starting: {cause}")),
        Status::Removed => Failure::new(FailureKind::Stopped, "it was removed"),
        _ => starting("it is still starting"),
    }
}

fn starting(message: impl Into<String>) -> Failure {
    Failure::new(FailureKind::Starting, message)
}

pub(crate) fn not_found(name: &InstallName) -> Error {
    Error::not_found("deployment", name)
}

/// Whether two specs make the same objects where all installs share them.
fn same_but_owner(a: &RunSpec, b: &RunSpec) -> bool {
    let mut b = b.clone();
    if a.kubernetes.multitenant && b.kubernetes.multitenant {
        b.owner = a.owner.clone();
    }
    *a == b
}

impl fmt::Debug for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cell").field("unit", &self.unit).finish_non_exhaustive()
    }
}
