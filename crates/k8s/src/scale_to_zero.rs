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
    deployment_state::{Cell, State},
    error::Fault,
    reconcile,
    status::wanted_replicas,
};

/// How often a conflict is looked at anew, and how long the watch is given to tell of the other change.
const TRIES: usize = 20;
const LOOK: Duration = Duration::from_millis(100);

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// Nobody has called it for long.
    Sleep,
    /// The other replicas of the host do not know that it was called.
    Heartbeat,
}

/// What is due, or when to look again.
pub(crate) fn due(cell: &Cell, state: &State) -> (Option<Due>, Option<Duration>) {
    let Some(idle) = cell.ground.config.idle else {
        return (None, None);
    };
    let view = cell.target.view();
    let live = state
        .plan
        .as_ref()
        .and_then(|plan| view.deployments.get(&plan.deployment));
    let Some(live) = live.filter(|live| is_up(live)) else {
        return (None, None);
    };
    let (now, quarter) = (cell.ground.now(), idle / 4);
    let told = annotations::time(&live.metadata, annotations::USED_AT);
    let woken = annotations::time(&live.metadata, annotations::WOKEN_AT);
    let last = [Some(state.used_at), told, woken]
        .into_iter()
        .flatten()
        .max()
        .unwrap_or(now);
    let unused = between(last, now);
    if unused >= idle {
        let wait = state.rest_at.map(|at| between(now, at)).filter(|wait| !wait.is_zero());
        return match wait {
            Some(wait) => (None, Some(wait)),
            None => (Some(Due::Sleep), Some(idle)),
        };
    }
    let is_news = told.is_none_or(|told| between(told, state.used_at) > quarter);
    (is_news.then_some(Due::Heartbeat), Some((idle - unused).min(quarter)))
}

/// Whether it runs, and by our doing: one that somebody scaled up while it slept is left alone.
fn is_up(live: &Deployment) -> bool {
    wanted_replicas(live) > 0 && annotations::asleep(&live.metadata).is_none()
}

/// Does what is due.
pub(crate) async fn take(cell: &Cell, due: Due) {
    let idle = cell.ground.config.idle.unwrap_or_default();
    let done = match due {
        Due::Sleep => sleep(cell).await,
        Due::Heartbeat => heartbeat(cell).await,
    };
    if let Err(failure) = done {
        tracing::debug!(unit = %cell.unit, %failure, "not sent to sleep");
        let wait = SignedDuration::try_from(idle).unwrap_or(SignedDuration::from_mins(1));
        let again = cell.ground.now().checked_add(wait).ok();
        cell.state().rest_at = again;
    }
}

async fn heartbeat(cell: &Cell) -> Result<(), Failure> {
    let Some(live) = cell.live() else { return Ok(()) };
    let used = cell.state().used_at.to_string();
    let told = reconcile::patch(
        cell,
        &live,
        &json!({ "metadata": { "annotations": { annotations::USED_AT: used } } }),
    )
    .await;
    told.map_err(|fault| fault.failure())
}

/// Sends it to sleep, unless it sleeps. It is written only if nobody changed it since it was looked at.
pub(crate) async fn sleep(cell: &Cell) -> Result<(), Failure> {
    let _hands = cell.hands.lock().await;
    let live = cell.live().ok_or_else(missing)?;
    if let Some(scaler) = autoscaler(cell, &live).await.map_err(|fault| fault.failure())? {
        let message = format!("the autoscaler {scaler:?} owns its number of copies");
        return Err(
            Failure::new(FailureKind::Config, message).remedy("let that autoscaler send it to sleep, or remove it")
        );
    }
    scale(cell, |live| {
        let replicas = wanted_replicas(live);
        let marks = json!({ annotations::ASLEEP: replicas.to_string(), annotations::WOKEN_AT: null });
        (replicas > 0).then_some((0, marks))
    })
    .await
}

/// Wakes it, unless it is awake. What has not been made yet is on its way up already.
pub(crate) async fn wake(cell: &Cell) -> Result<(), Failure> {
    let _hands = cell.hands.lock().await;
    let now = cell.ground.now().to_string();
    scale(cell, |live| {
        let replicas = annotations::asleep(&live.metadata).unwrap_or(1);
        let marks = json!({ annotations::ASLEEP: null, annotations::WOKEN_AT: now, annotations::USED_AT: now });
        (wanted_replicas(live) == 0).then_some((replicas, marks))
    })
    .await
}

/// Sets the number of copies by a compare-and-set, to what `decide` makes of what there is. The cluster writes the same
/// object as pods come and go, so a conflict is looked at anew.
async fn scale(cell: &Cell, decide: impl Fn(&Deployment) -> Option<(i32, Value)>) -> Result<(), Failure> {
    let mut tries = 0;
    loop {
        let Some(live) = cell.live() else { return Ok(()) };
        let Some((replicas, marks)) = decide(&live) else {
            return Ok(());
        };
        let change = json!({
            "metadata": { "resourceVersion": live.metadata.resource_version, "annotations": marks },
            "spec": { "replicas": replicas },
        });
        tries += 1;
        match reconcile::patch(cell, &live, &change).await {
            Ok(()) => break,
            Err(Fault::Conflict(_)) if tries < TRIES => tokio::time::sleep(LOOK).await,
            Err(fault) => return Err(fault.failure()),
        }
    }
    cell.publish();
    cell.changed.notify_one();
    Ok(())
}

/// The autoscaler that scales it, if one does.
async fn autoscaler(cell: &Cell, live: &Deployment) -> Result<Option<String>, Fault> {
    let api = cell.target.cluster.api::<HorizontalPodAutoscaler>();
    let all = ListParams::default();
    let found = cell.target.cluster.call(|| api.list(&all)).await?;
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
