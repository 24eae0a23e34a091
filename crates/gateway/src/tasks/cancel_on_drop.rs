//! Cancels an unfinished task on drop.

use tokio::runtime::Handle;

use super::query::TaskRef;

/// Cancels a task when it is dropped, unless it was [disarmed](Self::disarm).
#[derive(Debug)]
pub(super) struct CancelTaskOnDrop(Option<TaskRef>);

impl CancelTaskOnDrop {
    pub(super) fn of(task_ref: TaskRef) -> Self {
        Self(Some(task_ref))
    }

    /// Keeps the task: it has finished, or its client will come back for it.
    pub(super) fn disarm(&mut self) {
        self.0 = None;
    }
}

impl Drop for CancelTaskOnDrop {
    fn drop(&mut self) {
        let (Some(task_ref), Ok(runtime)) = (self.0.take(), Handle::try_current()) else {
            return;
        };
        let tasks = task_ref.server.background().clone();
        let cancelling = async move {
            if task_ref.cancel().await.is_err() {
                tracing::info!(server = %task_ref.server.spec().name, "an abandoned task cannot be cancelled");
            }
        };
        tasks.spawn_on(cancelling, &runtime);
    }
}
