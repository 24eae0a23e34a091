//! The task of one deployment: it tells how it is, and brings the cluster to what is wanted.

use std::{sync::Arc, time::Duration};

use futures_util::{
    FutureExt,
    future::{BoxFuture, OptionFuture},
};
use k8s_openapi::api::{apps::v1::Deployment, core::v1::Pod};
use kube::api::{LogParams, Patch, PatchParams};
use portolan_core::{Failure, FailureKind, InstallName};
use serde_json::{Map, Value, json};
use tokio::time::{Instant, sleep, timeout};

use crate::{
    annotations,
    apply::{self, ApplyDiff},
    deployment_state::{DeploymentState, DesiredSpec},
    endpoint::EndpointRoute,
    error::ApiError,
    garbage_collect,
    managed_fields::operations_manager,
    name::DeploymentKey,
    plan::{DeploymentPlan, PlanContext},
    reset, scale_to_zero,
    status::CrashedRun,
};

/// How many last lines of a crash are told.
const CRASH_LOG_LINES: usize = 10;

/// How often a namespace that cannot be listed is looked at.
const UNSYNCED_RECHECK: Duration = Duration::from_secs(1);

/// What is to be done next.
enum Step {
    /// Write what differs.
    Reconcile,
    /// Write who uses a shared deployment.
    RecordUsers(Vec<InstallName>),
    /// Read what a crashed run said last.
    ReadCrashLog(CrashedRun),
    /// Send it to sleep, or tell the other replicas of the host that it was used.
    Scale(scale_to_zero::ScaleAction),
}

/// Keeps a deployment as it is wanted. Ends when it is dropped.
pub(crate) async fn run(deployment: Arc<DeploymentState>) {
    let mut work: Option<BoxFuture<'static, ()>> = None;
    loop {
        let recheck_after = deployment.publish();
        let synced = deployment.namespace.is_synced();
        let (step, wait) = if synced {
            next_step(&deployment)
        } else {
            (None, Some(UNSYNCED_RECHECK))
        };
        if let Some(step) = step.filter(|_| work.is_none()) {
            work = Some(execute(deployment.clone(), step).boxed());
        }
        let pause = recheck_after.into_iter().chain(wait).min();
        tokio::select! {
            Some(()) = OptionFuture::from(work.as_mut()) => work = None,
            () = deployment.changed.notified() => {}
            () = deployment.namespace.wait_until_synced(), if !synced => {}
            Some(()) = OptionFuture::from(pause.map(sleep)) => {}
        }
    }
}

/// What is to be done, or when to look again.
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
    let unrecorded_users = unrecorded_users(deployment, &state);
    if retry.is_none() && !unrecorded_users.is_empty() {
        return (Some(Step::RecordUsers(unrecorded_users)), None);
    }
    let (action, wait) = scale_to_zero::next_action(deployment, &state);
    (action.map(Step::Scale), retry.into_iter().chain(wait).min())
}

/// Whether something has to be rendered or written.
fn needs_reconcile(deployment: &DeploymentState, state: &crate::deployment_state::StateFields) -> bool {
    let Some(plan) = state.plan.as_ref().filter(|_| state.planned_revision == state.revision) else {
        return true;
    };
    let objects = deployment.namespace.objects();
    let resets = objects
        .deployments
        .get(&plan.name)
        .is_some_and(|live| reset::is_requested(live));
    let diff = ApplyDiff::of(&objects, plan, &deployment.namespace.manager, &state.accepted);
    state.restart.is_some() || resets || !(diff.wait || diff.is_empty())
}

/// Users of a shared deployment who are not written on it.
fn unrecorded_users(deployment: &DeploymentState, state: &crate::deployment_state::StateFields) -> Vec<InstallName> {
    if !matches!(deployment.key, DeploymentKey::Shared(_)) {
        return Vec::new();
    }
    let objects = deployment.namespace.objects();
    let live = state.plan.as_ref().and_then(|plan| objects.deployments.get(&plan.name));
    let signed = live.map(|live| annotations::installs(&live.metadata));
    signed.map_or_else(Vec::new, |signed| {
        state
            .users
            .keys()
            .filter(|name| !signed.contains(name))
            .copied()
            .collect()
    })
}

async fn execute(deployment: Arc<DeploymentState>, step: Step) {
    match step {
        Step::Reconcile => run_and_record(&deployment, reconcile(&deployment)).await,
        Step::RecordUsers(users) => run_and_record(&deployment, record_users(&deployment, &users)).await,
        Step::ReadCrashLog(crash) => read_crash_log(&deployment, crash).await,
        Step::Scale(action) => scale_to_zero::execute(&deployment, action).await,
    }
}

/// Notes how it went, and when to try again.
async fn run_and_record(deployment: &DeploymentState, work: impl Future<Output = Result<(), Failure>>) {
    let revision = deployment.lock().revision;
    let outcome = {
        let _hands = deployment.write_lock.lock().await;
        work.await
    };
    let mut state = deployment.lock();
    match outcome {
        Ok(()) => {
            state.write_failure = None;
            state.retry_at = None;
            state.backoff.begin_anew();
        }
        Err(failure) => {
            tracing::warn!(key = %deployment.key, %failure, "cannot bring the cluster to what is wanted");
            if state.revision == revision {
                state.write_failure = Some(failure);
                let wait = state.backoff.wait();
                state.retry_at = Some(Instant::now() + wait);
            }
        }
    }
}

/// Renders what is wanted, and writes what differs.
async fn reconcile(deployment: &DeploymentState) -> Result<(), Failure> {
    let Some(plan) = plan(deployment).await? else {
        return Ok(());
    };
    open_route(deployment, &plan).await?;
    reset::continue_reset(deployment, &plan).await?;
    let (diff, mut accepted, restarts) = {
        let state = deployment.lock();
        let objects = deployment.namespace.objects();
        let mut diff = ApplyDiff::of(&objects, &plan, &deployment.namespace.manager, &state.accepted);
        diff.deployment |= state.restart.is_some();
        (diff, state.accepted.clone(), state.restart)
    };
    if diff.wait || diff.is_empty() {
        return Ok(());
    }
    if deployment.lock().removing {
        return Ok(());
    }
    apply::write(&deployment.namespace, &plan, &diff, &mut accepted).await?;
    {
        let mut state = deployment.lock();
        state.accepted = accepted;
        if state.restart == restarts {
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

/// The plan of the present wish, made if there is none.
async fn plan(deployment: &DeploymentState) -> Result<Option<Arc<DeploymentPlan>>, Failure> {
    let (desired, revision, restart): (Option<DesiredSpec>, _, _) = {
        let state = deployment.lock();
        let fresh = state.planned_revision == state.revision && state.restart.is_none();
        if let Some(plan) = state.plan.as_ref().filter(|_| fresh) {
            return Ok(Some(plan.clone()));
        }
        (state.desired.clone(), state.revision, state.restart)
    };
    let Some(desired) = desired else { return Ok(None) };
    let (context, namespace) = (&deployment.context, &deployment.namespace);
    let name = deployment.key.deployment_name(&desired.spec.server);
    let secrets = context.secrets(&desired.spec).await?;
    let token = context
        .token(namespace, &name)
        .await
        .map_err(|error| error.to_failure())?;
    let scheduling = context.scheduling(namespace).await;
    let live = namespace.objects().deployments.get(&name).cloned();
    let context = PlanContext {
        config: &context.config,
        environment: &desired.environment,
        scheduling: &scheduling,
    };
    let made = DeploymentPlan::make(
        context,
        (&desired.name, &desired.spec),
        &secrets,
        &token,
        live.as_deref(),
        restart,
    );
    let plan = Arc::new(made.map_err(failure_of)?);
    for warning in &plan.rendered.warnings {
        tracing::warn!(key = %deployment.key, warning, "something in the server's spec was passed over");
    }
    let mut state = deployment.lock();
    if state.revision == revision {
        state.planned_revision = revision;
    }
    state.plan = Some(plan.clone());
    Ok(Some(plan))
}

fn failure_of(error: portolan_core::Error) -> Failure {
    match error {
        portolan_core::Error::NotReady { failure, .. } => failure,
        other => Failure::new(FailureKind::Config, other.to_string()),
    }
}

/// Makes the road to the deployment, where there is none that fits.
async fn open_route(deployment: &DeploymentState, plan: &DeploymentPlan) -> Result<(), Failure> {
    if deployment.lock().route.fits(plan) {
        return Ok(());
    }
    let route = EndpointRoute::open(deployment, plan).await?;
    deployment.lock().route = route;
    Ok(())
}

/// Writes users onto a shared deployment: each its own annotation, so that replicas of the host do not overwrite each
/// other.
async fn record_users(deployment: &DeploymentState, users: &[InstallName]) -> Result<(), Failure> {
    let Some(live) = deployment.live() else { return Ok(()) };
    let marks: Map<String, Value> = users
        .iter()
        .map(|user| (annotations::user_key(user), json!("")))
        .collect();
    let signed = patch_deployment(deployment, &live, &json!({ "metadata": { "annotations": marks } })).await;
    signed.map_err(|error| error.to_failure())
}

/// Changes marks of the Deployment, as the operating field manager.
pub(crate) async fn patch_deployment(
    deployment: &DeploymentState,
    live: &Deployment,
    change: &Value,
) -> Result<(), ApiError> {
    let name = live.metadata.name.as_deref().unwrap_or_default();
    let api = deployment.namespace.client.api::<Deployment>();
    let params = PatchParams {
        field_manager: Some(operations_manager(&deployment.namespace.manager)),
        ..PatchParams::default()
    };
    let change = Patch::Merge(change);
    let patched = deployment
        .namespace
        .client
        .call(|| api.patch(name, &params, &change))
        .await?;
    deployment.namespace.objects().deployments.insert(patched);
    Ok(())
}

/// Reads what a crashed run said last, without the secrets that it was given.
async fn read_crash_log(deployment: &DeploymentState, crash: CrashedRun) {
    let api = deployment.namespace.client.api::<Pod>();
    let params = LogParams {
        container: Some(crash.container.clone()),
        previous: crash.previous,
        tail_lines: i64::try_from(CRASH_LOG_LINES).ok(),
        limit_bytes: Some(16 * 1024),
        ..LogParams::default()
    };
    let read = timeout(Duration::from_secs(4), api.logs(&crash.pod, &params)).await;
    let text = read.ok().and_then(Result::ok).unwrap_or_default();
    let mut state = deployment.lock();
    let plan = state.plan.clone();
    let line = |line: &str| {
        plan.as_ref()
            .map_or_else(String::new, |plan| plan.redacted(line.trim_end()))
    };
    let lines = text.lines().map(line).filter(|line| !line.is_empty()).collect();
    state.last_lines = Some((crash, lines));
}
