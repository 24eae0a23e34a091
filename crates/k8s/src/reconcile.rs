//! The task of one deployment: it publishes the status, and brings the cluster to the desired spec.

use std::{sync::Arc, time::Duration};

use futures_util::{
    FutureExt,
    future::{BoxFuture, OptionFuture},
};
use k8s_openapi::api::core::v1::Pod;
use kube::api::LogParams;
use portolan_core::{Failure, FailureKind, InstallName};
use serde_json::{Map, Value, json};
use tokio::time::{Instant, sleep, timeout};

use crate::{
    annotations,
    apply::{self, ApplyDiff},
    deployment_state::{DeploymentState, DesiredSpec, StateFields},
    endpoint::EndpointRoute,
    events::{self, Subject},
    garbage_collect,
    name::DeploymentKey,
    plan::{DeploymentPlan, PlanContext},
    reset, scale_to_zero,
    status::CrashedRun,
};

/// How many log lines of a crashed run are published.
const CRASH_LOG_LINES: usize = 10;

/// How long reading the log of a crashed run may take.
const CRASH_LOG_TIMEOUT: Duration = Duration::from_secs(4);

/// How often a namespace that is not synced is checked.
const UNSYNCED_RECHECK: Duration = Duration::from_secs(1);

/// The next step of a deployment.
enum Step {
    /// Apply what differs.
    Reconcile,
    /// Record users on a shared deployment.
    RecordUsers(Vec<InstallName>),
    /// Read the last log lines of a crashed run.
    ReadCrashLog(CrashedRun),
    /// Scale to zero, or record the time of use for the other replicas of the host.
    Scale(scale_to_zero::ScaleAction),
}

/// Reconciles a deployment until the future is dropped.
pub(crate) async fn run(deployment: Arc<DeploymentState>) {
    let mut running: Option<BoxFuture<'static, ()>> = None;
    loop {
        let recheck_after = deployment.publish();
        let synced = deployment.namespace.is_synced();
        let (step, wait) = if synced {
            next_step(&deployment)
        } else {
            (None, Some(UNSYNCED_RECHECK))
        };
        if let Some(step) = step.filter(|_| running.is_none()) {
            running = Some(execute(deployment.clone(), step).boxed());
        }
        let pause = recheck_after.into_iter().chain(wait).min();
        tokio::select! {
            Some(()) = OptionFuture::from(running.as_mut()) => running = None,
            () = deployment.changed.notified() => {}
            () = deployment.namespace.wait_until_synced(), if !synced => {}
            Some(()) = OptionFuture::from(pause.map(sleep)) => {}
        }
    }
}

/// Returns the next step, and when to look again.
fn next_step(deployment: &DeploymentState) -> (Option<Step>, Option<Duration>) {
    let state = deployment.lock();
    if state.removing || state.users.is_empty() {
        return (None, None);
    }
    let now = Instant::now();
    let retry = state
        .retry_at
        .map(|at| at.saturating_duration_since(now))
        .filter(|wait| !wait.is_zero());
    if retry.is_none() && needs_reconcile(deployment, &state) {
        return (Some(Step::Reconcile), None);
    }
    if let Some(crash) = &state.crash {
        return (Some(Step::ReadCrashLog(crash.clone())), retry);
    }
    let unrecorded = unrecorded_users(deployment, &state);
    if retry.is_none() && !unrecorded.is_empty() {
        return (Some(Step::RecordUsers(unrecorded)), None);
    }
    let (action, wait) = scale_to_zero::next_action(deployment, &state);
    (action.map(Step::Scale), retry.into_iter().chain(wait).min())
}

/// Returns whether something has to be rendered or applied.
fn needs_reconcile(deployment: &DeploymentState, state: &StateFields) -> bool {
    let Some(plan) = state.plan.as_ref().filter(|_| state.planned_revision == state.revision) else {
        return true;
    };
    let objects = deployment.namespace.objects();
    let resets = objects
        .deployments
        .get(&plan.name)
        .is_some_and(|live| reset::is_requested(live));
    let diff = ApplyDiff::new(&objects, plan, &deployment.namespace.manager, &state.accepted);
    state.restart.is_some() || resets || !(diff.wait || diff.is_empty())
}

/// Returns the users of a shared deployment that are not recorded on it.
fn unrecorded_users(deployment: &DeploymentState, state: &StateFields) -> Vec<InstallName> {
    if !matches!(deployment.key, DeploymentKey::Shared(_)) {
        return Vec::new();
    }
    let objects = deployment.namespace.objects();
    let live = state.plan.as_ref().and_then(|plan| objects.deployments.get(&plan.name));
    let recorded = live.map(|live| annotations::installs(&live.metadata));
    recorded.map_or_else(Vec::new, |recorded| {
        state
            .users
            .keys()
            .filter(|name| !recorded.contains(name))
            .copied()
            .collect()
    })
}

async fn execute(deployment: Arc<DeploymentState>, step: Step) {
    match step {
        Step::Reconcile => record_outcome(&deployment, reconcile(&deployment)).await,
        Step::RecordUsers(users) => record_outcome(&deployment, record_users(&deployment, &users)).await,
        Step::ReadCrashLog(crash) => read_crash_log(&deployment, crash).await,
        Step::Scale(action) => scale_to_zero::execute(&deployment, action).await,
    }
}

/// Runs `work` under the write lock and records its outcome, with the time of the next attempt.
async fn record_outcome(deployment: &DeploymentState, work: impl Future<Output = Result<(), Failure>>) {
    let revision = deployment.lock().revision;
    let outcome = {
        let _writing = deployment.write_lock.lock().await;
        work.await
    };
    let mut state = deployment.lock();
    match outcome {
        Ok(()) => {
            state.write_failure = None;
            state.retry_at = None;
            state.backoff.reset();
        }
        Err(failure) => {
            // Other kinds of failures become the status of the deployment, which has an event of its own.
            if failure.kind == FailureKind::Connection
                && let Some((install, plan)) = state.desired.as_ref().zip(state.plan.as_ref())
            {
                let subject = Subject {
                    install: &install.name,
                    deployment: &plan.name,
                    namespace: deployment.namespace.name(),
                };
                events::apply_interrupted(subject, &failure.message);
            }
            if state.revision == revision {
                state.write_failure = Some(failure);
                let wait = state.backoff.next_delay();
                state.retry_at = Some(Instant::now() + wait);
            }
        }
    }
}

/// Renders the desired spec, and applies what differs.
async fn reconcile(deployment: &DeploymentState) -> Result<(), Failure> {
    let Some((plan, install)) = current_plan(deployment).await? else {
        return Ok(());
    };
    open_route(deployment, &plan).await?;
    reset::continue_reset(deployment, &plan).await?;
    let (diff, mut accepted, restart) = {
        let state = deployment.lock();
        let objects = deployment.namespace.objects();
        let mut diff = ApplyDiff::new(&objects, &plan, &deployment.namespace.manager, &state.accepted);
        diff.deployment |= state.restart.is_some();
        (diff, state.accepted.clone(), state.restart)
    };
    if diff.wait || diff.is_empty() || deployment.lock().removing {
        return Ok(());
    }
    apply::write(&deployment.namespace, &plan, &diff, &mut accepted).await?;
    let subject = Subject {
        install: &install,
        deployment: &plan.name,
        namespace: deployment.namespace.name(),
    };
    events::applied(subject, diff.reason(restart.is_some()));
    {
        let mut state = deployment.lock();
        state.accepted = accepted;
        if state.restart == restart {
            state.restart = None;
        }
    }
    if diff.deployment {
        garbage_collect::delete_stale(deployment, &plan)
            .await
            .map_err(|error| error.to_failure())?;
    }
    Ok(())
}

/// Returns the plan of the desired spec, made if there is none, and the install whose spec it is.
async fn current_plan(deployment: &DeploymentState) -> Result<Option<(Arc<DeploymentPlan>, InstallName)>, Failure> {
    let (desired, revision, restart): (DesiredSpec, _, _) = {
        let state = deployment.lock();
        let Some(desired) = state.desired.clone() else {
            return Ok(None);
        };
        let is_current = state.planned_revision == state.revision && state.restart.is_none();
        if let Some(plan) = state.plan.as_ref().filter(|_| is_current) {
            return Ok(Some((plan.clone(), desired.name)));
        }
        (desired, state.revision, state.restart)
    };
    let (context, namespace) = (&deployment.context, &deployment.namespace);
    let name = deployment.key.deployment_name(&desired.spec.server);
    let secrets = context.secrets(&desired.spec).await?;
    let token = context
        .bridge_token(namespace, &name)
        .await
        .map_err(|error| error.to_failure())?;
    let scheduling = context.scheduling(namespace).await;
    let live = namespace.objects().deployments.get(&name).cloned();
    let plan_context = PlanContext {
        config: &context.config,
        environment: &desired.environment,
        scheduling: &scheduling,
    };
    let plan = DeploymentPlan::new(
        plan_context,
        (&desired.name, &desired.spec),
        &secrets,
        &token,
        live.as_deref(),
        restart,
    );
    let plan = Arc::new(plan.map_err(failure_of)?);
    for warning in &plan.rendered.warnings {
        tracing::warn!(key = %deployment.key, warning, "a part of the server's spec has no effect");
    }
    let mut state = deployment.lock();
    if state.revision == revision {
        state.planned_revision = revision;
    }
    state.plan = Some(plan.clone());
    Ok(Some((plan, desired.name)))
}

fn failure_of(error: portolan_core::Error) -> Failure {
    match error {
        portolan_core::Error::NotReady { failure, .. } => failure,
        other => Failure::new(FailureKind::Config, other.to_string()),
    }
}

/// Opens a route to the deployment, unless the present one fits.
async fn open_route(deployment: &DeploymentState, plan: &DeploymentPlan) -> Result<(), Failure> {
    if deployment.lock().route.fits(plan) {
        return Ok(());
    }
    let route = EndpointRoute::open(&deployment.context, &deployment.namespace, &deployment.key, plan).await?;
    deployment.lock().route = route;
    Ok(())
}

/// Records users on a shared deployment: each has an annotation of its own, so that replicas of the host do not overwrite
/// each other.
async fn record_users(deployment: &DeploymentState, users: &[InstallName]) -> Result<(), Failure> {
    let Some(live) = deployment.live() else { return Ok(()) };
    let keys: Map<String, Value> = users
        .iter()
        .map(|user| (annotations::user_key(user), json!("")))
        .collect();
    let patch = json!({ "metadata": { "annotations": keys } });
    let recorded = deployment.namespace.patch_deployment(&live, &patch).await;
    recorded.map_err(|error| error.to_failure())
}

/// Reads the last log lines of a crashed run, without the secrets of the server.
async fn read_crash_log(deployment: &DeploymentState, crash: CrashedRun) {
    let api = deployment.namespace.client.api::<Pod>();
    let params = LogParams {
        container: Some(crash.container.clone()),
        previous: crash.previous,
        tail_lines: i64::try_from(CRASH_LOG_LINES).ok(),
        limit_bytes: Some(16 * 1024),
        ..LogParams::default()
    };
    let read = timeout(CRASH_LOG_TIMEOUT, api.logs(&crash.pod, &params)).await;
    let text = read.ok().and_then(Result::ok).unwrap_or_default();
    let mut state = deployment.lock();
    let plan = state.plan.clone();
    let redacted = |line: &str| {
        plan.as_ref()
            .map_or_else(String::new, |plan| plan.redacted(line.trim_end()))
    };
    let lines = text.lines().map(redacted).filter(|line| !line.is_empty()).collect();
    state.last_lines = Some((crash, lines));
}
