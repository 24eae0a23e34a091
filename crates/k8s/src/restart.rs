//! Restarts that are asked for.

use portolan_core::{Error, Failure, FailureKind, Result};
use serde_json::json;

use crate::{annotations, deployment_state::Cell, reconcile, render::Restarted};

/// Has all pods replaced: rolling where the server can run twice for a while, else after the old one has drained.
///
/// Returns once it is written, so that a caller who is told so knows that it will happen.
pub(crate) async fn roll(cell: &Cell, restarted: Restarted) -> Result<()> {
    {
        let mut state = cell.state();
        if state.wish.is_none() {
            let failure = Failure::new(FailureKind::Starting, "the host has not asked for it since it started");
            return Err(Error::NotReady {
                what: "deployment",
                name: cell.unit.to_string(),
                failure,
            });
        }
        state.restart = Some(restarted);
        state.retry_at = None;
    }
    cell.changed.notify_one();
    written(cell, |cell| cell.state().restart != Some(restarted)).await
}

/// Has everything deleted and made anew. The mark on the Deployment outlives this program.
pub(crate) async fn reset(cell: &Cell) -> Result<()> {
    let Some(live) = cell.live() else {
        // There is nothing to delete; what is wanted is written anyway.
        cell.changed.notify_one();
        return Ok(());
    };
    let now = cell.ground.now().to_string();
    let marked = reconcile::patch(
        cell,
        &live,
        &json!({ "metadata": { "annotations": { annotations::RESET: now } } }),
    )
    .await;
    marked.map_err(|fault| fault.into_error(format!("reset {}", cell.unit)))?;
    {
        let mut state = cell.state();
        state.resetting = true;
        state.retry_at = None;
    }
    cell.publish();
    cell.changed.notify_one();
    Ok(())
}

/// Waits until `done`, at most as long as a call may take.
async fn written(cell: &Cell, done: impl Fn(&Cell) -> bool) -> Result<()> {
    let limit = cell.ground.config.deadline;
    let end = tokio::time::Instant::now() + limit;
    while !done(cell) {
        if tokio::time::Instant::now() >= end {
            return Err(late(cell.state().trouble.clone(), cell, limit));
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    Ok(())
}

fn late(trouble: Option<Failure>, cell: &Cell, limit: std::time::Duration) -> Error {
    match trouble {
        Some(failure) => Error::NotReady {
            what: "deployment",
            name: cell.unit.to_string(),
            failure,
        },
        None => Error::Timeout {
            action: "restarting a deployment".into(),
            after: limit,
        },
    }
}
