//! One listener to a server.

use std::{sync::Arc, time::Duration};

use crate::{
    notifications::{
        driver,
        feed::{GrantedFilter, NotificationFeed},
    },
    server_notifications::{NotificationFilter, NotificationSink},
};

/// One listener's place; dropping it ends the listening.
#[derive(Debug)]
pub struct Listening {
    feed: Arc<NotificationFeed>,
    id: u64,
    revision: u64,
}

impl NotificationFeed {
    /// Begins to listen. Must be called within a tokio runtime.
    pub fn listen(self: &Arc<Self>, filter: NotificationFilter, sink: Arc<dyn NotificationSink>) -> Listening {
        let mut state = self.lock();
        let id = state.next;
        state.next += 1;
        let begins = state.driver.is_none();
        let changed = state.enter(id, filter, sink);
        let revision = self.wanting(changed || begins);
        if begins {
            state.driver = driver::start(self);
        }
        drop(state);
        Listening {
            feed: self.clone(),
            id,
            revision,
        }
    }
}

impl Listening {
    /// Whether it is a place at `feed`.
    pub fn is_at(&self, feed: &Arc<NotificationFeed>) -> bool {
        Arc::ptr_eq(&self.feed, feed)
    }

    /// Wants something else from now on.
    pub fn change(&mut self, filter: NotificationFilter) {
        let mut state = self.feed.lock();
        let Some((old, sink)) = state.listeners.get(&self.id) else {
            return;
        };
        if *old == filter {
            return;
        }
        let sink = sink.clone();
        let changed = state.enter(self.id, filter, sink);
        self.revision = self.feed.wanting(changed);
    }

    /// What the server has agreed to, once it knows what this listener wants; `None` if that is not known in time.
    pub async fn granted(&self, at_most: Duration) -> Option<Arc<GrantedFilter>> {
        let mut offers = self.feed.granted.subscribe();
        let known = offers.wait_for(|granted| granted.revision >= self.revision);
        let granted = tokio::time::timeout(at_most, known).await.ok()?.ok()?;
        Some(granted.clone())
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        let mut state = self.feed.lock();
        let changed = state.leave(self.id);
        self.feed.wanting(changed);
    }
}
