//! Hard reset: everything of a deployment is deleted and made again, by force if it must be.

use std::{sync::Arc, time::Duration};

use k8s_openapi::api::{apps::v1::Deployment, core::v1::Pod};
use kube::api::{DeleteParams, Preconditions};
use portolan_core::Failure;
use tokio::time::{Instant, sleep};

use crate::{annotations, apply, deployment_state::DeploymentState, error::ApiError, plan::DeploymentPlan};

/// How long pods may take to end by themselves, beyond which they are deleted by force.
const GRACE: Duration = Duration::from_secs(35);

/// Whether a reset of it was asked for and has not been done. The mark goes with the Deployment, so that a reset that was
/// interrupted is finished by whichever replica of the host sees it.
pub(crate) fn is_requested(live: &Deployment) -> bool {
    annotations::annotation(&live.metadata, annotations::RESET).is_some()
}

/// Does what a reset that was asked for needs, until nothing is left. What is wanted is then written as new.
pub(crate) async fn continue_reset(deployment: &DeploymentState, plan: &DeploymentPlan) -> Result<(), Failure> {
    let live = deployment.namespace.objects().deployments.get(&plan.name).cloned();
    let Some(live) = live.filter(|live| is_requested(live)) else {
        return Ok(());
    };
    deployment.lock().resetting = true;
    let done = tear_down(deployment, plan, &live).await;
    let mut state = deployment.lock();
    state.resetting = false;
    state.accepted.clear();
    // The token and the marks begin anew, too: the wish is rendered again.
    state.planned_revision = 0;
    drop(state);
    done.map_err(|error| error.to_failure())
}

async fn tear_down(deployment: &DeploymentState, plan: &DeploymentPlan, live: &Deployment) -> Result<(), ApiError> {
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
        tracing::warn!(pod = name, "it does not end by itself and is deleted by force");
        let force = DeleteParams::default()
            .grace_period(0)
            .preconditions(uid(pod.metadata.uid.as_ref()));
        apply::delete::<Pod>(namespace, name, &force).await?;
    }
    for dependent in plan.dependents.iter().filter(|dependent| !dependent.shared) {
        apply::delete_dependent(namespace, dependent.dependent, &dependent.name).await?;
    }
    apply::wait_deleted(namespace, &plan.name).await
}

fn uid(uid: Option<&String>) -> Preconditions {
    Preconditions {
        uid: uid.cloned(),
        resource_version: None,
    }
}
