//! Waiting for conditions, shared by both test programs.

use std::time::Duration;

use futures_util::StreamExt;
use portolan_core::{InstallName, Runtime, Status};
use portolan_k8s::KubeRuntime;
use tokio::time::{sleep, timeout};

/// How often a condition is checked.
const POLL: Duration = Duration::from_millis(20);

/// Waits until `check` returns a value; panics with `what` after `limit`.
pub(crate) async fn eventually<T>(what: &str, limit: Duration, mut check: impl AsyncFnMut() -> Option<T>) -> T {
    let waiting = async {
        loop {
            if let Some(value) = check().await {
                return value;
            }
            sleep(POLL).await;
        }
    };
    match timeout(limit, waiting).await {
        Ok(value) => value,
        Err(_) => panic!("not within {limit:?}: {what}"),
    }
}

/// Waits until the runtime publishes a status that `wanted` accepts; panics with the last status after `limit`.
pub(crate) async fn wait_for_status(
    runtime: &KubeRuntime,
    name: &InstallName,
    limit: Duration,
    wanted: impl Fn(&Status) -> bool,
) -> Status {
    let mut events = runtime.watch();
    let mut last = None;
    let found = async {
        while let Some(event) = events.next().await {
            if event.install == *name {
                if wanted(&event.status) {
                    return event.status;
                }
                last = Some(event.status);
            }
        }
        panic!("the watch ended");
    };
    match timeout(limit, found).await {
        Ok(status) => status,
        Err(_) => panic!("not within {limit:?}; the last status is {last:?}"),
    }
}
