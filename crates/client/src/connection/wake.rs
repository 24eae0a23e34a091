//! Wakes a server of a runtime, and waits for it.

use std::{sync::Arc, time::Duration};

use futures_util::StreamExt;
use portolan_core::{Endpoint, Error, FailureKind, InstallName, Result, Runtime};
use tokio::sync::Mutex;

/// The longest interval between two looks at a starting server.
const ASKED_AGAIN: Duration = Duration::from_secs(1);

/// Wakes one server. Concurrent calls share the wake.
#[derive(Debug, Default)]
pub(crate) struct WakeCoordinator {
    telling: Mutex<()>,
}

impl WakeCoordinator {
    /// Returns the endpoint of the server, once it is ready.
    ///
    /// Fails at once with an error that waiting does not fix, and after `budget` with the state of then: a client may try
    /// again, while the server goes on to start.
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
        // Concurrent callers only wait.
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
                // The runtime's event stream has ended.
                tokio::time::sleep(ASKED_AGAIN).await;
            }
        }
    }
}

/// Returns `true` if waiting may help.
fn is_on_its_way(at: &Result<Endpoint>) -> bool {
    matches!(at, Err(Error::NotReady { failure, .. }) if failure.kind == FailureKind::Starting)
}
