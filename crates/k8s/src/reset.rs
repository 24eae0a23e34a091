//! Hard reset: all objects of a deployment are deleted and created again, pods by force if needed.

use std::{sync::Arc, time::Duration};

use k8s_openapi::api::{apps::v1::Deployment, core::v1::Pod};
use kube::api::{DeleteParams, Preconditions};
use portolan_core::Failure;
use tokio::time::{Instant, sleep};

use crate::{annotations, apply, deployment_state::DeploymentState, error::ApiError, plan::DeploymentPlan};

/// How long pods may take to end before they are deleted by force.
const GRACE: Duration = Duration::from_secs(35);

/// Returns whether a reset is requested and not finished. The annotation is deleted with the Deployment, so any replica of the
/// host finishes a reset that was interrupted.
pub(crate) fn is_requested(live: &Deployment) -> bool {
    annotations::annotation(&live.metadata, annotations::RESET).is_some()
}

/// Deletes all objects of the deployment if a reset is requested. The desired spec is then applied as new.
///
/// # Errors
///
/// The failure of the first delete.
pub(crate) async fn continue_reset(deployment: &DeploymentState, plan: &DeploymentPlan) -> Result<(), Failure> {
    let live = deployment.namespace.objects().deployments.get(&plan.name).cloned();
    let Some(live) = live.filter(|live| is_requested(live)) else {
        return Ok(());
    };
    deployment.lock().resetting = true;
    let done = delete_objects(deployment, plan, &live).await;
    let mut state = deployment.lock();
    state.resetting = false;
    state.accepted.clear();
    // Token and annotations are created again too, so the spec has to be rendered again.
    state.planned_revision = 0;
    drop(state);
    done.map_err(|error| error.to_failure())
}

async fn delete_objects(
    deployment: &DeploymentState,
    plan: &DeploymentPlan,
    live: &Deployment,
) -> Result<(), ApiError> {
    let namespace = &deployment.namespace;
    let foreground = DeleteParams::foreground().preconditions(uid(live.metadata.uid.as_ref()));
    apply::delete::<Deployment>(namespace, &plan.name, &foreground).await?;
    let pods = || -> Vec<Arc<Pod>> { namespace.objects().pods_of(live) };
    let end = Instant::now() + GRACE;
    while !pods().is_empty() && Instant::now() < end {
        sleep(Duration::from_millis(200)).await;
    }
    for pod in pods() {
        let name = pod.metadata.name.as_deref().unwrap_or_default();
        tracing::warn!(
            pod = name,
            namespace = namespace.name(),
            "pod did not end in time and is deleted by force"
        );
        let force = DeleteParams::default()
            .grace_period(0)
            .preconditions(uid(pod.metadata.uid.as_ref()));
        apply::delete::<Pod>(namespace, name, &force).await?;
    }
    for dependent in plan.dependents.iter().filter(|dependent| !dependent.shared) {
        apply::delete_dependent(namespace, dependent.kind, &dependent.name).await?;
    }
    apply::wait_deleted(namespace, &plan.name).await
}

fn uid(uid: Option<&String>) -> Preconditions {
    Preconditions {
        uid: uid.cloned(),
        resource_version: None,
    }
}
