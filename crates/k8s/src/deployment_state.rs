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
    apply::AcceptedFields,
    backoff::Backoff,
    config::Environment,
    endpoint::EndpointRoute,
    name::DeploymentKey,
    namespace::Namespace,
    plan::DeploymentPlan,
    render::RestartRequest,
    restart_counter::RestartCounter,
    runtime_context::RuntimeContext,
    status::{self, Assessment, CrashedRun, Observation},
};

/// One deployment.
pub(crate) struct DeploymentState {
    pub(crate) key: DeploymentKey,
    pub(crate) namespace: Arc<Namespace>,
    pub(crate) context: Arc<RuntimeContext>,
    /// Whoever writes to the cluster for this deployment holds it.
    pub(crate) write_lock: tokio::sync::Mutex<()>,
    pub(crate) changed: Notify,
    state: Mutex<StateFields>,
}

/// What is known.
pub(crate) struct StateFields {
    /// Who wants it, and what each asked for.
    pub(crate) users: BTreeMap<InstallName, DesiredSpec>,
    /// Users that were seen written on a shared deployment.
    pub(crate) seen: BTreeSet<InstallName>,
    /// What is rendered: the wish of the oldest user, so that many who share a deployment do not take turns.
    pub(crate) desired: Option<DesiredSpec>,
    /// Grows with each wish.
    pub(crate) revision: u64,
    pub(crate) plan: Option<Arc<DeploymentPlan>>,
    /// The revision that the plan is of.
    pub(crate) planned_revision: u64,
    pub(crate) accepted: AcceptedFields,
    /// Why the last attempt to write failed, and when the next one is.
    pub(crate) write_failure: Option<Failure>,
    pub(crate) retry_at: Option<Instant>,
    pub(crate) backoff: Backoff,
    /// A restart that was asked for and is not written yet.
    pub(crate) restart: Option<RestartRequest>,
    restarts: RestartCounter,
    /// A hard reset is under way.
    pub(crate) resetting: bool,
    pub(crate) removing: bool,
    /// For which template and waking it was ready.
    pub(crate) ready: Option<(String, Option<Timestamp>)>,
    pub(crate) last_lines: Option<(CrashedRun, Vec<String>)>,
    /// The run whose last words are to be read.
    pub(crate) crash: Option<CrashedRun>,
    pub(crate) route: EndpointRoute,
    /// When it was last called through this runtime.
    pub(crate) used_at: Timestamp,
    /// It is not sent to sleep before.
    pub(crate) no_sleep_before: Option<Timestamp>,
    endpoint: std::result::Result<Endpoint, Failure>,
    /// What the board says, by install.
    published: BTreeMap<InstallName, Status>,
}

/// What is wanted.
#[derive(Clone)]
pub(crate) struct DesiredSpec {
    pub(crate) name: InstallName,
    pub(crate) spec: RunSpec,
    pub(crate) environment: Environment,
}

impl StateFields {
    /// Chooses the wish that is rendered. Gives whether it is another one than before.
    fn select_desired(&mut self) -> bool {
        let first = self.users.values().next().cloned();
        let is_same = match (&self.desired, &first) {
            (Some(old), Some(new)) => renders_same(&old.spec, &new.spec),
            (old, new) => old.is_none() && new.is_none(),
        };
        if is_same {
            return false;
        }
        self.desired = first;
        self.revision += 1;
        self.write_failure = None;
        self.retry_at = None;
        self.backoff.begin_anew();
        true
    }
}

impl DeploymentState {
    pub(crate) fn new(key: DeploymentKey, namespace: Arc<Namespace>, context: Arc<RuntimeContext>) -> Self {
        let state = StateFields {
            users: BTreeMap::new(),
            seen: BTreeSet::new(),
            desired: None,
            revision: 0,
            plan: None,
            planned_revision: 0,
            accepted: AcceptedFields::new(),
            write_failure: None,
            retry_at: None,
            backoff: Backoff::new(Duration::from_secs(1), Duration::from_secs(60)),
            restart: None,
            restarts: RestartCounter::default(),
            resetting: false,
            removing: false,
            ready: None,
            last_lines: None,
            crash: None,
            route: EndpointRoute::None,
            used_at: context.now(),
            no_sleep_before: None,
            endpoint: Err(starting("the host has not asked for it since it started")),
            published: BTreeMap::new(),
        };
        Self {
            key,
            namespace,
            context,
            write_lock: tokio::sync::Mutex::new(()),
            changed: Notify::new(),
            state: Mutex::new(state),
        }
    }

    /// What is known. Never held across an await; taken before the view, where both are.
    pub(crate) fn lock(&self) -> MutexGuard<'_, StateFields> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records what is wanted. The same again changes nothing.
    pub(crate) fn desired(&self, desired: DesiredSpec) {
        let mut state = self.lock();
        if !state.removing
            && state
                .users
                .get(&desired.name)
                .is_some_and(|old| old.spec == desired.spec)
        {
            return;
        }
        let name = desired.name;
        state.users.insert(name, desired);
        state.removing = false;
        state.used_at = self.context.now();
        let published: Vec<_> = if state.select_desired() {
            state.users.keys().copied().collect()
        } else {
            vec![name]
        };
        for user in published {
            self.publish_status(&mut state, user, Status::Pending { cause: None });
        }
        drop(state);
        self.changed.notify_one();
    }

    /// The Deployment that the cluster has.
    pub(crate) fn live(&self) -> Option<Arc<Deployment>> {
        let named = self.lock().plan.as_ref().map(|plan| plan.name.clone());
        let objects = self.namespace.objects();
        let by_name = named.and_then(|name| objects.deployments.get(&name).cloned());
        by_name.or_else(|| objects.deployment_of(&self.key, &self.namespace.manager).cloned())
    }

    /// Its pods that can be called, newest first.
    pub(crate) fn callable(&self) -> Vec<Arc<Pod>> {
        let Some(live) = self.live() else { return Vec::new() };
        let pods = self.namespace.objects().pods_of(&live);
        status::callable(&pods).cloned().collect()
    }

    /// Where it is reached, from memory.
    pub(crate) fn endpoint(&self, name: &InstallName) -> Result<Endpoint> {
        let mut state = self.lock();
        if !state.users.contains_key(name) && !state.published.contains_key(name) {
            return Err(not_found(name));
        }
        state.used_at = self.context.now();
        state.endpoint.clone().map_err(|failure| Error::NotReady {
            what: "deployment",
            name: name.to_string(),
            failure,
        })
    }

    /// Looks at everything anew and tells how it is. Gives when to look again.
    pub(crate) fn publish(&self) -> Option<Duration> {
        let mut state = self.lock();
        if state.removing {
            state.endpoint = Err(Failure::new(FailureKind::Stopped, "it is being removed"));
            state.route.close();
            return None;
        }
        let now = self.context.now();
        let seen = self.observe(&state);
        self.apply_peer_removals(&mut state, seen.live.as_deref());
        // Pods are known by their Deployment: while there is none, nothing is known of them.
        if seen.live.is_some() {
            state.restarts.observe(&seen.pods);
        }
        let Assessment {
            mut status,
            recheck_after,
            crash,
        } = self.assess(&state, &seen, now);
        state.crash =
            crash.filter(|crash| state.plan.is_some() && state.last_lines.as_ref().is_none_or(|(of, _)| of != crash));
        if state.resetting {
            let failure = starting("it is being rebuilt by a hard reset; retry shortly");
            status = Status::Restarting { failure };
        }
        if status == Status::Ready {
            let woken = seen
                .live
                .as_ref()
                .and_then(|live| annotations::timestamp(&live.metadata, annotations::WOKEN_AT));
            state.ready = Some((seen.template.clone(), woken));
        }
        let callable: Vec<_> = status::callable(&seen.pods).cloned().collect();
        let route = state
            .plan
            .clone()
            .and_then(|plan| state.route.endpoint(&plan, &callable));
        // A pod that is on its way to sleep, or out of a reset, still answers for a moment.
        let is_closed = state.resetting || status == Status::Asleep;
        state.endpoint = route.filter(|_| !is_closed).ok_or_else(|| unavailable_failure(&status));
        let annotated_users = seen.live.iter().flat_map(|live| annotations::installs(&live.metadata));
        let all: BTreeSet<_> = state.users.keys().copied().chain(annotated_users).collect();
        let gone: Vec<_> = state
            .published
            .keys()
            .filter(|name| !all.contains(name))
            .copied()
            .collect();
        for name in gone {
            self.publish_status(&mut state, name, Status::Removed);
        }
        for name in all {
            self.publish_status(&mut state, name, status.clone());
        }
        recheck_after
    }

    /// Whether `name` asked for it here.
    pub(crate) fn is_wanted_by(&self, name: &InstallName) -> bool {
        self.lock().users.contains_key(name)
    }

    /// Whether it is for `name`, asked for or found in the cluster.
    pub(crate) fn is_used_by(&self, name: &InstallName) -> bool {
        if matches!(&self.key, DeploymentKey::Install(own) if own != name) {
            return false;
        }
        self.is_wanted_by(name) || self.annotated_users().contains(name)
    }

    /// Everybody whom it is for.
    pub(crate) fn all_users(&self) -> BTreeSet<InstallName> {
        let annotated_users = self.annotated_users();
        self.lock().users.keys().copied().chain(annotated_users).collect()
    }

    /// The users that are written on it.
    fn annotated_users(&self) -> Vec<InstallName> {
        let live = self
            .live()
            .filter(|live| !annotations::is_being_removed(&live.metadata));
        live.map(|live| annotations::installs(&live.metadata))
            .unwrap_or_default()
    }

    /// `name` wants it no longer. Gives whether it was the last one.
    pub(crate) fn begin_removal(&self, name: &InstallName) -> bool {
        let others = self.all_users().iter().any(|user| user != name);
        if others {
            let mut state = self.lock();
            state.users.remove(name);
            state.seen.remove(name);
            // With its user go the secrets that a wish names.
            if !state.users.is_empty() {
                state.select_desired();
            }
        } else {
            self.lock().removing = true;
        }
        self.changed.notify_one();
        !others
    }

    /// The cluster knows that `name` wants it no longer. Gives whether nobody does.
    pub(crate) fn finish_removal(&self, name: &InstallName) -> bool {
        let mut state = self.lock();
        let is_over = state.removing;
        if is_over {
            state.users.clear();
            state.plan = None;
        }
        if !state.users.contains_key(name) {
            self.publish_status(&mut state, *name, Status::Removed);
        }
        is_over
    }

    /// Whether nobody wants it, and the cluster does not have it.
    pub(crate) fn is_unused(&self) -> bool {
        self.live().is_none() && self.lock().users.is_empty()
    }

    fn observe(&self, state: &StateFields) -> LiveObjects {
        let objects = self.namespace.objects();
        let named = state.plan.as_ref().and_then(|plan| objects.deployments.get(&plan.name));
        let live = named
            .or_else(|| objects.deployment_of(&self.key, &self.namespace.manager))
            .cloned();
        let pods = live.as_ref().map(|live| objects.pods_of(live)).unwrap_or_default();
        let name = |pod: &Arc<Pod>| pod.metadata.name.clone().unwrap_or_default();
        let warnings = pods.iter().map(|pod| objects.warnings_of(&name(pod))).collect();
        let wanted = state.plan.as_ref().map(|plan| plan.template.clone());
        let own = live
            .as_ref()
            .and_then(|live| annotations::deployment_template_hash(live))
            .map(str::to_owned);
        LiveObjects {
            template: wanted.or(own).unwrap_or_default(),
            live,
            pods,
            warnings,
        }
    }

    fn assess(&self, state: &StateFields, seen: &LiveObjects, now: Timestamp) -> Assessment {
        let live = seen.live.as_deref();
        let digest = live.and_then(|live| annotations::digest(&live.metadata));
        let written = match &state.plan {
            Some(plan) => state.planned_revision == state.revision && digest == Some(&plan.rendered.digest),
            // Found in the cluster and not asked for: it is as it is wanted to be.
            None => state.desired.is_none(),
        };
        let woken = live.and_then(|live| annotations::timestamp(&live.metadata, annotations::WOKEN_AT));
        let silent = (!self.namespace.is_synced())
            .then(|| self.namespace.watch_error())
            .flatten();
        let silent = silent.map(|why| Failure::new(FailureKind::Connection, why));
        status::assess(&Observation {
            now,
            template: &seen.template,
            deployment: live,
            pods: &seen.pods,
            warnings: &seen.warnings,
            write_failure: state.write_failure.as_ref().or(silent.as_ref()),
            written,
            was_ready: state
                .ready
                .as_ref()
                .is_some_and(|(template, at)| *template == seen.template && *at == woken),
            waking: woken.is_some_and(|woken| state.ready.as_ref().is_none_or(|(_, at)| *at != Some(woken)))
                && woken.is_some_and(|woken| now.duration_since(woken) < jiff::SignedDuration::from_mins(10)),
            last_lines: state
                .last_lines
                .as_ref()
                .map(|(crash, lines)| (crash, lines.as_slice())),
        })
    }

    /// Takes back the wish for what another replica of the host removes, and for who it took off a shared deployment.
    fn apply_peer_removals(&self, state: &mut StateFields, live: Option<&Deployment>) {
        let Some(live) = live else { return };
        if annotations::annotation(&live.metadata, annotations::REMOVING).is_some() {
            state.users.clear();
            state.desired = None;
            return;
        }
        if matches!(self.key, DeploymentKey::Shared(_)) {
            let annotated_users: BTreeSet<_> = annotations::installs(&live.metadata).into_iter().collect();
            let left: Vec<_> = state
                .seen
                .iter()
                .filter(|name| !annotated_users.contains(name))
                .copied()
                .collect();
            for name in left {
                state.users.remove(&name);
            }
            state.seen = annotated_users;
        }
    }

    fn publish_status(&self, state: &mut StateFields, install: InstallName, status: Status) {
        if status == Status::Removed {
            state.published.remove(&install);
        } else {
            let status = keep_unchanged_failure(state.published.get(&install), status);
            state.published.insert(install, status);
        }
        let status = state.published.get(&install).cloned().unwrap_or(Status::Removed);
        let mut event = StatusEvent::new(install, status, self.context.now());
        event.restarts = state.restarts.total();
        self.context.board.set(event);
    }
}

/// What the view has of it.
struct LiveObjects {
    template: String,
    live: Option<Arc<Deployment>>,
    pods: Vec<Arc<Pod>>,
    warnings: Vec<Vec<crate::object_cache::PodWarning>>,
}

/// The same failure again keeps its words: how long ago its last event was is told once, not anew with each look.
fn keep_unchanged_failure(old: Option<&Status>, new: Status) -> Status {
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
fn unavailable_failure(status: &Status) -> Failure {
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
fn renders_same(a: &RunSpec, b: &RunSpec) -> bool {
    let mut b = b.clone();
    if a.kubernetes.multitenant && b.kubernetes.multitenant {
        b.owner = a.owner.clone();
    }
    *a == b
}

impl fmt::Debug for DeploymentState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cell").field("unit", &self.key).finish_non_exhaustive()
    }
}
