//! Requested restarts and resets.

use portolan_core::{Error, Failure, FailureKind, Result};
use serde_json::json;

use crate::{annotations, deployment_state::DeploymentState, render::RestartRequest};

/// Replaces all pods: rolling if two may run at once, else after the old one has drained. Returns once the request is written.
///
/// # Errors
///
/// [`Error::NotReady`] if it was not ensured since the host started, or the failure that delays the write;
/// [`Error::Timeout`] if the write took longer than the deadline.
pub(crate) async fn rolling_restart(deployment: &DeploymentState, restart: RestartRequest) -> Result<()> {
    {
        let mut state = deployment.lock();
        if state.desired.is_none() {
            let failure = Failure::new(
                FailureKind::Starting,
                "it has not been ensured since the host started; call ensure",
            );
            return Err(Error::NotReady {
                what: "deployment",
                name: deployment.key.to_string(),
                failure,
            });
        }
        state.restart = Some(restart);
        state.retry_at = None;
    }
    deployment.changed.notify_one();
    wait_until(deployment, |deployment| deployment.lock().restart != Some(restart)).await
}

/// Requests a hard reset: all objects are deleted and created again. The annotation on the Deployment outlives this program.
///
/// # Errors
///
/// The error of the API call.
pub(crate) async fn reset(deployment: &DeploymentState) -> Result<()> {
    let Some(live) = deployment.live() else {
        // There is nothing to delete, and the task applies the desired spec anyway.
        deployment.changed.notify_one();
        return Ok(());
    };
    let now = deployment.context.now().to_string();
    let patch = json!({ "metadata": { "annotations": { annotations::RESET: now } } });
    let requested = deployment.namespace.patch_deployment(&live, &patch).await;
    requested.map_err(|error| error.into_error(format!("reset {}", deployment.key)))?;
    {
        let mut state = deployment.lock();
        state.resetting = true;
        state.retry_at = None;
    }
    deployment.publish();
    deployment.changed.notify_one();
    Ok(())
}

/// Waits until `done`, at most for the deadline of calls.
async fn wait_until(deployment: &DeploymentState, done: impl Fn(&DeploymentState) -> bool) -> Result<()> {
    let limit = deployment.context.config.deadline;
    let end = tokio::time::Instant::now() + limit;
    while !done(deployment) {
        if tokio::time::Instant::now() >= end {
            return Err(timed_out(deployment.lock().write_failure.clone(), deployment, limit));
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    Ok(())
}

fn timed_out(write_failure: Option<Failure>, deployment: &DeploymentState, limit: std::time::Duration) -> Error {
    match write_failure {
        Some(failure) => Error::NotReady {
            what: "deployment",
            name: deployment.key.to_string(),
            failure,
        },
        None => Error::Timeout {
            action: "restart a deployment".into(),
            after: limit,
        },
    }
}
