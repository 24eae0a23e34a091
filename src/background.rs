//! What a platform does by itself: it follows the registry, and removes what was deleted long ago.

use std::{sync::Arc, time::Duration};

use portolan_core::orchestrator::Orchestrator;
use tokio::task::JoinSet;

/// How often what is expired is looked for.
const EXPIRE_EVERY: Duration = Duration::from_secs(60 * 60);

/// The tasks of a platform. They end with its last clone.
#[derive(Debug)]
pub(crate) struct Background(std::sync::Mutex<JoinSet<()>>);

impl Background {
    pub(crate) fn start(orchestrator: &Arc<Orchestrator>) -> Self {
        let mut tasks = JoinSet::new();
        let follower = orchestrator.clone();
        tasks.spawn(async move { follower.follow().await });
        tasks.spawn(remove_expired(orchestrator.clone()));
        Self(tasks.into())
    }

    /// Ends the tasks.
    pub(crate) fn end(&self) {
        let mut tasks = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        tasks.abort_all();
    }
}

/// Never ends. A platform has looked once when it starts.
async fn remove_expired(orchestrator: Arc<Orchestrator>) {
    loop {
        tokio::time::sleep(EXPIRE_EVERY).await;
        match orchestrator.remove_expired().await {
            Ok(0) => {}
            Ok(removed) => tracing::info!(
                removed,
                "deleted servers and installs are removed, as their retention has ended"
            ),
            Err(error) => {
                tracing::warn!(%error, "deleted servers and installs cannot be removed now; it is tried again")
            }
        }
    }
}
