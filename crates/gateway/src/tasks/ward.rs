//! That a task does not go on for nobody.

use tokio::runtime::Handle;

use super::inquiry::Place;

/// Has a task end when it is dropped, unless it [is over](Self::over) or somebody comes back for it.
#[derive(Debug)]
pub(super) struct Ward(Option<Place>);

impl Ward {
    pub(super) fn of(place: Place) -> Self {
        Self(Some(place))
    }

    /// The task needs no end.
    pub(super) fn over(&mut self) {
        self.0 = None;
    }
}

impl Drop for Ward {
    fn drop(&mut self) {
        let (Some(place), Ok(runtime)) = (self.0.take(), Handle::try_current()) else {
            return;
        };
        let tasks = place.link.background().clone();
        let telling = async move {
            if place.cancel().await.is_err() {
                tracing::info!(server = %place.link.server.name, "a task that nobody waits for cannot be cancelled");
            }
        };
        tasks.spawn_on(telling, &runtime);
    }
}
