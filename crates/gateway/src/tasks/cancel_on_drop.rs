//! That a task does not go on for nobody.

use tokio::runtime::Handle;

use super::query::TaskRef;

/// Has a task end when it is dropped, unless it [is over](Self::over) or somebody comes back for it.
#[derive(Debug)]
pub(super) struct CancelTaskOnDrop(Option<TaskRef>);

impl CancelTaskOnDrop {
    pub(super) fn of(task_ref: TaskRef) -> Self {
        Self(Some(task_ref))
    }

    /// The task needs no end.
    pub(super) fn over(&mut self) {
        self.0 = None;
    }
}

impl Drop for CancelTaskOnDrop {
    fn drop(&mut self) {
        let (Some(task_ref), Ok(runtime)) = (self.0.take(), Handle::try_current()) else {
            return;
        };
        let tasks = task_ref.server.background().clone();
        let telling = async move {
            if task_ref.cancel().await.is_err() {
                tracing::info!(server = %task_ref.server.spec().name, "a task that nobody waits for cannot be cancelled");
            }
        };
        tasks.spawn_on(telling, &runtime);
    }
}
