//! Hard reset: everything of a deployment is deleted and made again, by force if it must be.

use std::{sync::Arc, time::Duration};

use k8s_openapi::api::{apps::v1::Deployment, core::v1::Pod};
use kube::api::{DeleteParams, Preconditions};
use portolan_core::Failure;
use tokio::time::{Instant, sleep};

use crate::{annotations, apply, deployment_state::Cell, error::Fault, plan::Plan};

/// How long pods may take to end by themselves, beyond which they are deleted by force.
const GRACE: Duration = Duration::from_secs(35);

/// Whether a reset of it was asked for and has not been done. The mark goes with the Deployment, so that a reset that was
/// interrupted is finished by whichever replica of the host sees it.
pub(crate) fn is_asked(live: &Deployment) -> bool {
    annotations::annotation(&live.metadata, annotations::RESET).is_some()
}

/// Does what a reset that was asked for needs, until nothing is left. What is wanted is then written as new.
pub(crate) async fn go_on(cell: &Cell, plan: &Plan) -> Result<(), Failure> {
    let live = cell.target.view().deployments.get(&plan.deployment).cloned();
    let Some(live) = live.filter(|live| is_asked(live)) else {
        return Ok(());
    };
    cell.state().resetting = true;
    let done = tear_down(cell, plan, &live).await;
    let mut state = cell.state();
    state.resetting = false;
    state.accepted.clear();
    // The token and the marks begin anew, too: the wish is rendered again.
    state.planned = 0;
    drop(state);
    done.map_err(|fault| fault.failure())
}

async fn tear_down(cell: &Cell, plan: &Plan, live: &Deployment) -> Result<(), Fault> {
    let target = &cell.target;
    let foreground = DeleteParams::foreground().preconditions(uid(live.metadata.uid.as_ref()));
    apply::delete::<Deployment>(target, &plan.deployment, &foreground).await?;
    let pods = || -> Vec<Arc<Pod>> { target.view().pods_of(live) };
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
        apply::delete::<Pod>(target, name, &force).await?;
    }
    for part in plan.parts.iter().filter(|part| !part.shared) {
        apply::delete_part(target, part.part, &part.name).await?;
    }
    apply::wait_gone(target, &plan.deployment).await
}

fn uid(uid: Option<&String>) -> Preconditions {
    Preconditions {
        uid: uid.cloned(),
        resource_version: None,
    }
}
