//! How readers wait for something new.

use std::{future::pending, time::Duration};

use tokio::sync::watch;

/// The interval at which a reader looks, whatever it hears: what other processes write on SQLite is not told, and what
/// PostgreSQL tells may be lost.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// What ends the wait of a reader.
pub(crate) struct Waiting {
    /// Signalled by this store. Its end is the end of the store.
    own: watch::Receiver<()>,
    /// Signalled by the database.
    others: Option<watch::Receiver<()>>,
}

impl Waiting {
    pub(crate) fn new(own: watch::Receiver<()>, others: Option<watch::Receiver<()>>) -> Self {
        Self { own, others }
    }

    /// Forgets the signals so far. Call it before looking, so that one during the look ends the wait after it.
    pub(crate) fn mark_unchanged(&mut self) {
        self.own.mark_unchanged();
        if let Some(others) = &mut self.others {
            others.mark_unchanged();
        }
    }
}

/// Waits until there may be something new; `None` if the store is gone.
pub(crate) async fn wait(waiting: &mut Waiting) -> Option<()> {
    let Waiting { own, others } = waiting;
    let told = async {
        // Its end is that of the connection: go by the clock.
        let Some(Ok(())) = (match others {
            Some(others) => Some(others.changed().await),
            None => None,
        }) else {
            pending().await
        };
    };
    tokio::select! {
        own = own.changed() => own.ok(),
        () = told => Some(()),
        () = tokio::time::sleep(LOOK_EVERY) => Some(()),
    }
}
