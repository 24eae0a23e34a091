//! The state of one deployment: the installs that use it, what is known about it, and the status that is published.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use k8s_openapi::api::{apps::v1::Deployment, core::v1::Pod};
use portolan_core::{
    Backoff, Endpoint, Error, Failure, FailureKind, InstallName, Result, RunSpec, Status, StatusEvent,
};
use tokio::{sync::Notify, time::Instant};

use crate::{
    annotations,
    apply::AcceptedFields,
    config::Environment,
    endpoint::EndpointRoute,
    events::{self, Subject},
    name::DeploymentKey,
    namespace::Namespace,
    object_cache::{ObjectCache, PodWarning},
    plan::DeploymentPlan,
    render::RestartRequest,
    restart_counter::RestartCounter,
    runtime_context::RuntimeContext,
    status::{self, Assessment, CrashedRun, Observation, keep_unchanged_failure, starting, unavailable_failure},
};

/// How long after a wake-up a deployment that is not ready counts as waking.
const WAKING: jiff::SignedDuration = jiff::SignedDuration::from_mins(10);

/// The state of one deployment.
pub(crate) struct DeploymentState {
    pub(crate) key: DeploymentKey,
    pub(crate) namespace: Arc<Namespace>,
    pub(crate) context: Arc<RuntimeContext>,
    /// Held while objects of this deployment are written.
    pub(crate) write_lock: tokio::sync::Mutex<()>,
    /// Notified when the task of this deployment has to look again.
    pub(crate) changed: Notify,
    fields: Mutex<StateFields>,
}

/// The mutable part of a [`DeploymentState`].
pub(crate) struct StateFields {
    /// The spec of each install that was ensured in this runtime.
    pub(crate) users: BTreeMap<InstallName, DesiredSpec>,
    /// The installs that were last seen in the annotations of a shared deployment.
    pub(crate) recorded_users: BTreeSet<InstallName>,
    /// The spec that is rendered: that of the first user, so that users of a shared deployment do not alternate.
    pub(crate) desired: Option<DesiredSpec>,
    /// Grows with each change of `desired`.
    pub(crate) revision: u64,
    pub(crate) plan: Option<Arc<DeploymentPlan>>,
    /// The revision that `plan` was made from.
    pub(crate) planned_revision: u64,
    pub(crate) accepted: AcceptedFields,
    /// Why the last write failed.
    pub(crate) write_failure: Option<Failure>,
    /// The time of the next write.
    pub(crate) retry_at: Option<Instant>,
    pub(crate) backoff: Backoff,
    /// A requested restart that is not written yet.
    pub(crate) restart: Option<RestartRequest>,
    restarts: RestartCounter,
    /// Whether a hard reset is in progress.
    pub(crate) resetting: bool,
    pub(crate) removing: bool,
    /// The template hash and the wake-up time of the last ready state.
    pub(crate) ready: Option<(String, Option<Timestamp>)>,
    /// The last log lines of a crashed run.
    pub(crate) last_lines: Option<(CrashedRun, Vec<String>)>,
    /// The crashed run whose last log lines have to be read.
    pub(crate) crash: Option<CrashedRun>,
    pub(crate) route: EndpointRoute,
    /// The time of the last call through this runtime.
    pub(crate) used_at: Timestamp,
    /// The earliest time of the next attempt to scale to zero.
    pub(crate) no_sleep_before: Option<Timestamp>,
    endpoint: std::result::Result<Endpoint, Failure>,
    /// The published status, by install.
    published: BTreeMap<InstallName, Status>,
}

/// The spec that an install asked for.
#[derive(Clone)]
pub(crate) struct DesiredSpec {
    pub(crate) name: InstallName,
    pub(crate) spec: RunSpec,
    pub(crate) environment: Environment,
}

impl StateFields {
    fn new(now: Timestamp) -> Self {
        Self {
            users: BTreeMap::new(),
            recorded_users: BTreeSet::new(),
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
            used_at: now,
            no_sleep_before: None,
            endpoint: Err(starting("it has not been ensured since the host started; call ensure")),
            published: BTreeMap::new(),
        }
    }

    /// Selects the spec that is rendered, and returns whether it changed.
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
        self.backoff.reset();
        true
    }
}

impl DeploymentState {
    pub(crate) fn new(key: DeploymentKey, namespace: Arc<Namespace>, context: Arc<RuntimeContext>) -> Self {
        let fields = StateFields::new(context.now());
        Self {
            key,
            namespace,
            context,
            write_lock: tokio::sync::Mutex::new(()),
            changed: Notify::new(),
            fields: Mutex::new(fields),
        }
    }

    /// Locks the fields. Never held across an await; locked before the object cache if both are.
    pub(crate) fn lock(&self) -> MutexGuard<'_, StateFields> {
        self.fields.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records the spec of an install. Recording the same spec again changes nothing.
    pub(crate) fn set_desired(&self, desired: DesiredSpec) {
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
        let affected: Vec<_> = if state.select_desired() {
            state.users.keys().copied().collect()
        } else {
            vec![name]
        };
        for user in affected {
            self.publish_status(&mut state, user, Status::Pending { cause: None });
        }
        drop(state);
        self.changed.notify_one();
    }

    /// Returns the live Deployment.
    pub(crate) fn live(&self) -> Option<Arc<Deployment>> {
        let planned = self.lock().plan.clone();
        self.live_in(&self.namespace.objects(), planned.as_deref())
    }

    fn live_in(&self, objects: &ObjectCache, plan: Option<&DeploymentPlan>) -> Option<Arc<Deployment>> {
        let by_name = plan.and_then(|plan| objects.deployments.get(&plan.name));
        by_name
            .or_else(|| objects.deployment_of(&self.key, &self.namespace.manager))
            .cloned()
    }

    /// Returns its pods that can be called, newest first.
    pub(crate) fn callable(&self) -> Vec<Arc<Pod>> {
        let Some(live) = self.live() else { return Vec::new() };
        let pods = self.namespace.objects().pods_of(&live);
        status::callable(&pods).cloned().collect()
    }

    /// Returns its endpoint, from memory.
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

    /// Assesses the deployment and publishes its status and endpoint. Returns when time alone may change the status.
    pub(crate) fn publish(&self) -> Option<Duration> {
        let mut state = self.lock();
        if state.removing {
            state.endpoint = Err(Failure::new(FailureKind::Stopped, "it is being removed"));
            state.route.close();
            return None;
        }
        let now = self.context.now();
        let objects = self.observe(&state);
        self.apply_peer_removals(&mut state, objects.live.as_deref());
        // Pods are found by their Deployment: while there is none, nothing is known about them.
        if objects.live.is_some() {
            state.restarts.observe(&objects.pods);
        }
        let Assessment {
            mut status,
            recheck_after,
            crash,
        } = self.assess(&state, &objects, now);
        state.crash =
            crash.filter(|crash| state.plan.is_some() && state.last_lines.as_ref().is_none_or(|(of, _)| of != crash));
        if state.resetting {
            let failure = starting("a hard reset is rebuilding it; retry shortly");
            status = Status::Restarting { failure };
        }
        if status == Status::Ready {
            let woken = objects
                .live
                .as_ref()
                .and_then(|live| annotations::timestamp(&live.metadata, annotations::WOKEN_AT));
            state.ready = Some((objects.template.clone(), woken));
        }
        let callable: Vec<_> = status::callable(&objects.pods).cloned().collect();
        let plan = state.plan.clone();
        let endpoint = plan.and_then(|plan| state.route.endpoint(&plan, &callable));
        // A pod that is being scaled down or reset still answers for a moment.
        let is_closed = state.resetting || status == Status::Asleep;
        state.endpoint = endpoint
            .filter(|_| !is_closed)
            .ok_or_else(|| unavailable_failure(&status));
        self.publish_to_all(&mut state, objects.live.as_deref(), &status);
        recheck_after
    }

    /// Publishes `status` to all users, and the removal to those that were users before.
    fn publish_to_all(&self, state: &mut StateFields, live: Option<&Deployment>, status: &Status) {
        let annotated = live.into_iter().flat_map(|live| annotations::installs(&live.metadata));
        let all: BTreeSet<_> = state.users.keys().copied().chain(annotated).collect();
        let gone: Vec<_> = state
            .published
            .keys()
            .filter(|name| !all.contains(name))
            .copied()
            .collect();
        for name in gone {
            self.publish_status(state, name, Status::Removed);
        }
        for name in all {
            self.publish_status(state, name, status.clone());
        }
    }

    /// Returns whether `name` was ensured in this runtime.
    pub(crate) fn is_wanted_by(&self, name: &InstallName) -> bool {
        self.lock().users.contains_key(name)
    }

    /// Returns whether `name` uses it: ensured in this runtime, or found in the cluster.
    pub(crate) fn is_used_by(&self, name: &InstallName) -> bool {
        if matches!(&self.key, DeploymentKey::Install(own) if own != name) {
            return false;
        }
        self.is_wanted_by(name) || self.annotated_users().contains(name)
    }

    /// Returns all installs that use it.
    pub(crate) fn all_users(&self) -> BTreeSet<InstallName> {
        let annotated = self.annotated_users();
        self.lock().users.keys().copied().chain(annotated).collect()
    }

    /// Returns the installs that the live Deployment names.
    fn annotated_users(&self) -> Vec<InstallName> {
        let live = self
            .live()
            .filter(|live| !annotations::is_being_removed(&live.metadata));
        live.map(|live| annotations::installs(&live.metadata))
            .unwrap_or_default()
    }

    /// Begins to remove the user `name`, and returns whether it is the last one.
    pub(crate) fn begin_removal(&self, name: &InstallName) -> bool {
        let others = self.all_users().iter().any(|user| user != name);
        if others {
            let mut state = self.lock();
            state.users.remove(name);
            state.recorded_users.remove(name);
            // The secrets that the spec refers to go with its user.
            if !state.users.is_empty() {
                state.select_desired();
            }
        } else {
            self.lock().removing = true;
        }
        self.changed.notify_one();
        !others
    }

    /// Finishes the removal of `name` after the cluster was updated, and returns whether no user is left.
    pub(crate) fn finish_removal(&self, name: &InstallName) -> bool {
        let mut state = self.lock();
        let is_last = state.removing;
        if is_last {
            state.users.clear();
        }
        if !state.users.contains_key(name) {
            self.publish_status(&mut state, *name, Status::Removed);
        }
        if is_last {
            state.plan = None;
        }
        is_last
    }

    /// Returns whether it has no user and the cluster has no Deployment.
    pub(crate) fn is_unused(&self) -> bool {
        self.live().is_none() && self.lock().users.is_empty()
    }

    fn observe(&self, state: &StateFields) -> LiveObjects {
        let objects = self.namespace.objects();
        let live = self.live_in(&objects, state.plan.as_deref());
        let pods = live.as_ref().map(|live| objects.pods_of(live)).unwrap_or_default();
        let name = |pod: &Arc<Pod>| pod.metadata.name.clone().unwrap_or_default();
        let warnings = pods.iter().map(|pod| objects.warnings_of(&name(pod))).collect();
        let planned = state.plan.as_ref().map(|plan| plan.template.clone());
        let own = live
            .as_ref()
            .and_then(|live| annotations::deployment_template_hash(live))
            .map(str::to_owned);
        LiveObjects {
            template: planned.or(own).unwrap_or_default(),
            live,
            pods,
            warnings,
        }
    }

    fn assess(&self, state: &StateFields, objects: &LiveObjects, now: Timestamp) -> Assessment {
        let live = objects.live.as_deref();
        let digest = live.and_then(|live| annotations::digest(&live.metadata));
        let written = match &state.plan {
            Some(plan) => state.planned_revision == state.revision && digest == Some(&plan.rendered.digest),
            // Found in the cluster and not ensured: its present form is the desired one.
            None => state.desired.is_none(),
        };
        let woken = live.and_then(|live| annotations::timestamp(&live.metadata, annotations::WOKEN_AT));
        let watch_error = (!self.namespace.is_synced())
            .then(|| self.namespace.watch_error())
            .flatten();
        let watch_failure = watch_error.map(|why| Failure::new(FailureKind::Connection, why));
        status::assess(&Observation {
            now,
            template: &objects.template,
            deployment: live,
            pods: &objects.pods,
            warnings: &objects.warnings,
            write_failure: state.write_failure.as_ref().or(watch_failure.as_ref()),
            written,
            was_ready: state
                .ready
                .as_ref()
                .is_some_and(|(template, at)| *template == objects.template && *at == woken),
            waking: woken.is_some_and(|woken| {
                state.ready.as_ref().is_none_or(|(_, at)| *at != Some(woken)) && now.duration_since(woken) < WAKING
            }),
            last_lines: state
                .last_lines
                .as_ref()
                .map(|(crash, lines)| (crash, lines.as_slice())),
        })
    }

    /// Follows another replica of the host: forgets the desired spec if that one is removing the deployment, and the users
    /// that it removed from a shared one.
    fn apply_peer_removals(&self, state: &mut StateFields, live: Option<&Deployment>) {
        let Some(live) = live else { return };
        if annotations::annotation(&live.metadata, annotations::REMOVING).is_some() {
            state.users.clear();
            state.desired = None;
            return;
        }
        if matches!(self.key, DeploymentKey::Shared(_)) {
            let annotated: BTreeSet<_> = annotations::installs(&live.metadata).into_iter().collect();
            let removed: Vec<_> = state.recorded_users.difference(&annotated).copied().collect();
            for name in removed {
                state.users.remove(&name);
            }
            state.recorded_users = annotated;
        }
    }

    fn publish_status(&self, state: &mut StateFields, install: InstallName, status: Status) {
        let old = state.published.remove(&install);
        let status = keep_unchanged_failure(old.as_ref(), status);
        let subject = Subject {
            install: &install,
            deployment: state.plan.as_ref().map_or("", |plan| &plan.name),
            namespace: self.namespace.name(),
        };
        events::status_changed(subject, old.as_ref(), &status);
        if status != Status::Removed {
            state.published.insert(install, status.clone());
        }
        let mut event = StatusEvent::new(install, status, self.context.now());
        event.restarts = state.restarts.total();
        self.context.board.set(event);
    }
}

/// The live objects of a deployment.
struct LiveObjects {
    template: String,
    live: Option<Arc<Deployment>>,
    pods: Vec<Arc<Pod>>,
    warnings: Vec<Vec<PodWarning>>,
}

pub(crate) fn not_found(name: &InstallName) -> Error {
    Error::not_found("deployment", name)
}

/// Returns whether two specs render the same objects: in a shared deployment, the owner makes no difference.
fn renders_same(a: &RunSpec, b: &RunSpec) -> bool {
    let mut b = b.clone();
    if a.kubernetes.multitenant && b.kubernetes.multitenant {
        b.owner = a.owner.clone();
    }
    *a == b
}

impl fmt::Debug for DeploymentState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeploymentState")
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}
