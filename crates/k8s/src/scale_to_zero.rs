//! Sleep and wake: no pods while nobody calls.

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
    reconcile,
    status::wanted_replicas,
};

/// How often a conflict is looked at anew, and how long the watch is given to tell of the other change.
const MAX_ATTEMPTS: usize = 20;
const CONFLICT_RECHECK: Duration = Duration::from_millis(100);

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ScaleAction {
    /// Nobody has called it for long.
    Sleep,
    /// The other replicas of the host do not know that it was called.
    Heartbeat,
}

/// What is due, or when to look again.
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
    let told = annotations::timestamp(&live.metadata, annotations::USED_AT);
    let woken = annotations::timestamp(&live.metadata, annotations::WOKEN_AT);
    let last = [Some(state.used_at), told, woken]
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
    let is_new = told.is_none_or(|told| between(told, state.used_at) > quarter);
    (
        is_new.then_some(ScaleAction::Heartbeat),
        Some((idle - unused).min(quarter)),
    )
}

/// Whether it runs, and by our doing: one that somebody scaled up while it slept is left alone.
fn is_up(live: &Deployment) -> bool {
    wanted_replicas(live) > 0 && annotations::replicas_before_sleep(&live.metadata).is_none()
}

/// Does what is due.
pub(crate) async fn execute(deployment: &DeploymentState, action: ScaleAction) {
    let idle = deployment.context.config.idle.unwrap_or_default();
    let done = match action {
        ScaleAction::Sleep => sleep(deployment).await,
        ScaleAction::Heartbeat => heartbeat(deployment).await,
    };
    if let Err(failure) = done {
        tracing::debug!(key = %deployment.key, %failure, "not sent to sleep");
        let wait = SignedDuration::try_from(idle).unwrap_or(SignedDuration::from_mins(1));
        let again = deployment.context.now().checked_add(wait).ok();
        deployment.lock().no_sleep_before = again;
    }
}

async fn heartbeat(deployment: &DeploymentState) -> Result<(), Failure> {
    let Some(live) = deployment.live() else { return Ok(()) };
    let used = deployment.lock().used_at.to_string();
    let told = reconcile::patch_deployment(
        deployment,
        &live,
        &json!({ "metadata": { "annotations": { annotations::USED_AT: used } } }),
    )
    .await;
    told.map_err(|error| error.to_failure())
}

/// Sends it to sleep, unless it sleeps. It is written only if nobody changed it since it was looked at.
pub(crate) async fn sleep(deployment: &DeploymentState) -> Result<(), Failure> {
    let _hands = deployment.write_lock.lock().await;
    let live = deployment.live().ok_or_else(missing)?;
    if let Some(scaler) = autoscaler(deployment, &live)
        .await
        .map_err(|error| error.to_failure())?
    {
        let message = format!("the autoscaler {scaler:?} owns its number of copies");
        return Err(
            Failure::new(FailureKind::Config, message).remedy("let that autoscaler send it to sleep, or remove it")
        );
    }
    scale(deployment, |live| {
        let replicas = wanted_replicas(live);
        let marks = json!({ annotations::ASLEEP: replicas.to_string(), annotations::WOKEN_AT: null });
        (replicas > 0).then_some((0, marks))
    })
    .await
}

/// Wakes it, unless it is awake. What has not been made yet is on its way up already.
pub(crate) async fn wake(deployment: &DeploymentState) -> Result<(), Failure> {
    let _hands = deployment.write_lock.lock().await;
    let now = deployment.context.now().to_string();
    scale(deployment, |live| {
        let replicas = annotations::replicas_before_sleep(&live.metadata).unwrap_or(1);
        let marks = json!({ annotations::ASLEEP: null, annotations::WOKEN_AT: now, annotations::USED_AT: now });
        (wanted_replicas(live) == 0).then_some((replicas, marks))
    })
    .await
}

/// Sets the number of copies by a compare-and-set, to what `decide` makes of what there is. The cluster writes the same
/// object as pods come and go, so a conflict is looked at anew.
async fn scale(
    deployment: &DeploymentState,
    decide: impl Fn(&Deployment) -> Option<(i32, Value)>,
) -> Result<(), Failure> {
    let mut tries = 0;
    loop {
        let Some(live) = deployment.live() else { return Ok(()) };
        let Some((replicas, marks)) = decide(&live) else {
            return Ok(());
        };
        let change = json!({
            "metadata": { "resourceVersion": live.metadata.resource_version, "annotations": marks },
            "spec": { "replicas": replicas },
        });
        tries += 1;
        match reconcile::patch_deployment(deployment, &live, &change).await {
            Ok(()) => break,
            Err(ApiError::Conflict(_)) if tries < MAX_ATTEMPTS => tokio::time::sleep(CONFLICT_RECHECK).await,
            Err(error) => return Err(error.to_failure()),
        }
    }
    deployment.publish();
    deployment.changed.notify_one();
    Ok(())
}

/// The autoscaler that scales it, if one does.
async fn autoscaler(deployment: &DeploymentState, live: &Deployment) -> Result<Option<String>, ApiError> {
    let api = deployment.namespace.client.api::<HorizontalPodAutoscaler>();
    let all = ListParams::default();
    let found = deployment.namespace.client.call(|| api.list(&all)).await?;
    let scales = |scaler: &HorizontalPodAutoscaler| {
        // The spec is optional in some versions of the API, as that of a Deployment is.
        let spec: Option<&HorizontalPodAutoscalerSpec> = (&scaler.spec).into();
        let of = spec.map(|spec| &spec.scale_target_ref);
        of.is_some_and(|of| of.kind == "Deployment" && Some(&of.name) == live.metadata.name.as_ref())
    };
    Ok(found
        .items
        .into_iter()
        .find(scales)
        .and_then(|scaler| scaler.metadata.name))
}

fn missing() -> Failure {
    Failure::new(FailureKind::Starting, "it has not been made yet")
}

fn between(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or_default()
}
