//! A server that a runtime runs, when it is not up: it is woken, and waited for within a budget.

use std::{sync::Arc, time::Duration};

use futures_util::StreamExt;
use portolan_core::{Endpoint, Error, FailureKind, InstallName, Result, Runtime};
use tokio::sync::Mutex;

/// A server that is on its way is asked again at least this often.
const ASKED_AGAIN: Duration = Duration::from_secs(1);

/// Wakes one server; however many calls wait for it, it is told once.
#[derive(Debug, Default)]
pub(crate) struct WakeCoordinator {
    telling: Mutex<()>,
}

impl WakeCoordinator {
    /// Where the server is, once it is up.
    ///
    /// Fails at once with what waiting does not mend, and after `budget` with what is still so: a client may then try
    /// again, and finds the server further on its way.
    pub(crate) async fn endpoint(
        &self,
        runtime: &Arc<dyn Runtime>,
        install: &InstallName,
        budget: Duration,
    ) -> Result<Endpoint> {
        let first = runtime.endpoint(install).await;
        if !is_on_its_way(&first) {
            return first;
        }
        match tokio::time::timeout(budget, self.up(runtime, install)).await {
            Ok(settled) => settled,
            Err(_) => runtime.endpoint(install).await,
        }
    }

    async fn up(&self, runtime: &Arc<dyn Runtime>, install: &InstallName) -> Result<Endpoint> {
        let mut changes = runtime
            .watch()
            .filter(|event| std::future::ready(event.install == *install));
        // Whoever comes while it is being woken only waits.
        let telling = self.telling.try_lock();
        if let (Some(scale), Ok(_)) = (runtime.scale(), &telling) {
            scale.wake(install).await?;
        }
        loop {
            let at = runtime.endpoint(install).await;
            if !is_on_its_way(&at) {
                return at;
            }
            if let Ok(None) = tokio::time::timeout(ASKED_AGAIN, changes.next()).await {
                // Nothing tells of changes any more.
                tokio::time::sleep(ASKED_AGAIN).await;
            }
        }
    }
}

/// Whether waiting for a while is likely to help.
fn is_on_its_way(at: &Result<Endpoint>) -> bool {
    matches!(at, Err(Error::NotReady { failure, .. }) if failure.kind == FailureKind::Starting)
}
