//! Scaling to zero and waking: no pods while there are no calls.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::{
    apps::v1::Deployment,
    autoscaling::v2::{HorizontalPodAutoscaler, HorizontalPodAutoscalerSpec},
};
use kube::api::ListParams;
use portolan_core::{Failure, FailureKind};
use serde_json::{Value, json};

use crate::{
    annotations,
    deployment_state::{DeploymentState, StateFields},
    error::ApiError,
    status::wanted_replicas,
};

/// How often a conflicting write is tried again.
const MAX_ATTEMPTS: usize = 20;
/// How long the watch has to report the conflicting change.
const CONFLICT_RECHECK: Duration = Duration::from_millis(100);

/// An action that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ScaleAction {
    /// Scale to zero: there was no call for the idle time.
    Sleep,
    /// Record the time of the last call for the other replicas of the host.
    Heartbeat,
}

/// Returns the action that is due, and when to look again.
pub(crate) fn next_action(
    deployment: &DeploymentState,
    state: &StateFields,
) -> (Option<ScaleAction>, Option<Duration>) {
    let Some(idle) = deployment.context.config.idle else {
        return (None, None);
    };
    let objects = deployment.namespace.objects();
    let live = state.plan.as_ref().and_then(|plan| objects.deployments.get(&plan.name));
    let Some(live) = live.filter(|live| is_up(live)) else {
        return (None, None);
    };
    let (now, quarter) = (deployment.context.now(), idle / 4);
    let recorded = annotations::timestamp(&live.metadata, annotations::USED_AT);
    let woken = annotations::timestamp(&live.metadata, annotations::WOKEN_AT);
    let last = [Some(state.used_at), recorded, woken]
        .into_iter()
        .flatten()
        .max()
        .unwrap_or(now);
    let unused = between(last, now);
    if unused >= idle {
        let wait = state
            .no_sleep_before
            .map(|at| between(now, at))
            .filter(|wait| !wait.is_zero());
        return match wait {
            Some(wait) => (None, Some(wait)),
            None => (Some(ScaleAction::Sleep), Some(idle)),
        };
    }
    let is_outdated = recorded.is_none_or(|recorded| between(recorded, state.used_at) > quarter);
    (
        is_outdated.then_some(ScaleAction::Heartbeat),
        Some((idle - unused).min(quarter)),
    )
}

/// Returns whether it runs and was not scaled up by someone else while it was asleep; such a one is left alone.
fn is_up(live: &Deployment) -> bool {
    wanted_replicas(live) > 0 && annotations::replicas_before_sleep(&live.metadata).is_none()
}

/// Executes an action. A failure delays the next attempt by the idle time.
pub(crate) async fn execute(deployment: &DeploymentState, action: ScaleAction) {
    let idle = deployment.context.config.idle.unwrap_or_default();
    let done = match action {
        ScaleAction::Sleep => sleep(deployment).await,
        ScaleAction::Heartbeat => heartbeat(deployment).await,
    };
    if let Err(failure) = done {
        tracing::debug!(key = %deployment.key, %failure, "scaling to zero failed");
        let wait = SignedDuration::try_from(idle).unwrap_or(SignedDuration::from_mins(1));
        let next = deployment.context.now().checked_add(wait).ok();
        deployment.lock().no_sleep_before = next;
    }
}

async fn heartbeat(deployment: &DeploymentState) -> Result<(), Failure> {
    let Some(live) = deployment.live() else { return Ok(()) };
    let used = deployment.lock().used_at.to_string();
    let patch = json!({ "metadata": { "annotations": { annotations::USED_AT: used } } });
    let recorded = deployment.namespace.patch_deployment(&live, &patch).await;
    recorded.map_err(|error| error.to_failure())
}

/// Scales to zero, unless it is asleep. The write fails if someone changed the Deployment since it was read.
///
/// # Errors
///
/// `Starting` if there is no Deployment yet; `Config` if an autoscaler owns its replicas; the failure of the API call.
pub(crate) async fn sleep(deployment: &DeploymentState) -> Result<(), Failure> {
    let _writing = deployment.write_lock.lock().await;
    let live = deployment.live().ok_or_else(not_created)?;
    if let Some(autoscaler) = autoscaler(deployment, &live)
        .await
        .map_err(|error| error.to_failure())?
    {
        let message = format!("the autoscaler {autoscaler:?} owns its replicas");
        return Err(
            Failure::new(FailureKind::Config, message).remedy("let the autoscaler scale it to zero, or delete it")
        );
    }
    scale(deployment, |live| {
        let replicas = wanted_replicas(live);
        let marks = json!({ annotations::ASLEEP: replicas.to_string(), annotations::WOKEN_AT: null });
        (replicas > 0).then_some((0, marks))
    })
    .await
}

/// Wakes it, unless it is awake or not created yet.
///
/// # Errors
///
/// The failure of the API call.
pub(crate) async fn wake(deployment: &DeploymentState) -> Result<(), Failure> {
    let _writing = deployment.write_lock.lock().await;
    let now = deployment.context.now().to_string();
    scale(deployment, |live| {
        let replicas = annotations::replicas_before_sleep(&live.metadata).unwrap_or(1);
        let marks = json!({ annotations::ASLEEP: null, annotations::WOKEN_AT: now, annotations::USED_AT: now });
        (wanted_replicas(live) == 0).then_some((replicas, marks))
    })
    .await
}

/// Sets the number of replicas by compare-and-set, to what `decide` returns for the live Deployment. The cluster updates the
/// same object as pods come and go, so a conflict is retried.
async fn scale(
    deployment: &DeploymentState,
    decide: impl Fn(&Deployment) -> Option<(i32, Value)>,
) -> Result<(), Failure> {
    let mut attempts = 0;
    loop {
        let Some(live) = deployment.live() else { return Ok(()) };
        let Some((replicas, marks)) = decide(&live) else {
            return Ok(());
        };
        let patch = json!({
            "metadata": { "resourceVersion": live.metadata.resource_version, "annotations": marks },
            "spec": { "replicas": replicas },
        });
        attempts += 1;
        match deployment.namespace.patch_deployment(&live, &patch).await {
            Ok(()) => break,
            Err(ApiError::Conflict(_)) if attempts < MAX_ATTEMPTS => tokio::time::sleep(CONFLICT_RECHECK).await,
            Err(error) => return Err(error.to_failure()),
        }
    }
    deployment.publish();
    deployment.changed.notify_one();
    Ok(())
}

/// Returns the name of the autoscaler of the Deployment, if there is one.
async fn autoscaler(deployment: &DeploymentState, live: &Deployment) -> Result<Option<String>, ApiError> {
    let api = deployment.namespace.client.api::<HorizontalPodAutoscaler>();
    let all = ListParams::default();
    let found = deployment.namespace.client.call(|| api.list(&all)).await?;
    let scales = |autoscaler: &HorizontalPodAutoscaler| {
        // The spec is optional in some versions of the API, like that of a Deployment.
        let spec: Option<&HorizontalPodAutoscalerSpec> = (&autoscaler.spec).into();
        let scaled = spec.map(|spec| &spec.scale_target_ref);
        scaled.is_some_and(|scaled| scaled.kind == "Deployment" && Some(&scaled.name) == live.metadata.name.as_ref())
    };
    Ok(found
        .items
        .into_iter()
        .find(scales)
        .and_then(|autoscaler| autoscaler.metadata.name))
}

fn not_created() -> Failure {
    Failure::new(FailureKind::Starting, "it is not created yet")
}

fn between(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or_default()
}
