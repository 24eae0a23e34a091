//! Restarts that are asked for.

use portolan_core::{Error, Failure, FailureKind, Result};
use serde_json::json;

use crate::{annotations, deployment_state::DeploymentState, reconcile, render::RestartRequest};

/// Has all pods replaced: rolling where the server can run twice for a while, else after the old one has drained.
///
/// Returns once it is written, so that a caller who is told so knows that it will happen.
pub(crate) async fn rolling_restart(deployment: &DeploymentState, restarted: RestartRequest) -> Result<()> {
    {
        let mut state = deployment.lock();
        if state.desired.is_none() {
            let failure = Failure::new(FailureKind::Starting, "the host has not asked for it since it started");
            return Err(Error::NotReady {
                what: "deployment",
                name: deployment.key.to_string(),
                failure,
            });
        }
        state.restart = Some(restarted);
        state.retry_at = None;
    }
    deployment.changed.notify_one();
    written(deployment, |deployment| deployment.lock().restart != Some(restarted)).await
}

/// Has everything deleted and made anew. The mark on the Deployment outlives this program.
pub(crate) async fn reset(deployment: &DeploymentState) -> Result<()> {
    let Some(live) = deployment.live() else {
        // There is nothing to delete; what is wanted is written anyway.
        deployment.changed.notify_one();
        return Ok(());
    };
    let now = deployment.context.now().to_string();
    let marked = reconcile::patch_deployment(
        deployment,
        &live,
        &json!({ "metadata": { "annotations": { annotations::RESET: now } } }),
    )
    .await;
    marked.map_err(|error| error.into_error(format!("reset {}", deployment.key)))?;
    {
        let mut state = deployment.lock();
        state.resetting = true;
        state.retry_at = None;
    }
    deployment.publish();
    deployment.changed.notify_one();
    Ok(())
}

/// Waits until `done`, at most as long as a call may take.
async fn written(deployment: &DeploymentState, done: impl Fn(&DeploymentState) -> bool) -> Result<()> {
    let limit = deployment.context.config.deadline;
    let end = tokio::time::Instant::now() + limit;
    while !done(deployment) {
        if tokio::time::Instant::now() >= end {
            return Err(late(deployment.lock().write_failure.clone(), deployment, limit));
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    Ok(())
}

fn late(write_failure: Option<Failure>, deployment: &DeploymentState, limit: std::time::Duration) -> Error {
    match write_failure {
        Some(failure) => Error::NotReady {
            what: "deployment",
            name: deployment.key.to_string(),
            failure,
        },
        None => Error::Timeout {
            action: "restarting a deployment".into(),
            after: limit,
        },
    }
}
