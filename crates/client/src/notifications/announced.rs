//! Changes that a server announces on the stream of a request instead of its own stream.

use std::sync::{Arc, Weak};

use portolan_core::UpstreamCredential;

use crate::{
    catalog::ServerLists,
    notifications::NotificationFeeds,
    server_notifications::{ChangeSink, NotificationSink, ServerNotification},
};

/// Marks cached lists as stale, and tells the listeners.
#[derive(Debug)]
pub(crate) struct AnnouncedChanges {
    lists: Weak<ServerLists>,
    feeds: Weak<NotificationFeeds>,
}

impl AnnouncedChanges {
    pub(crate) fn new(lists: &Arc<ServerLists>, feeds: &Arc<NotificationFeeds>) -> Self {
        Self {
            lists: Arc::downgrade(lists),
            feeds: Arc::downgrade(feeds),
        }
    }
}

impl ChangeSink for AnnouncedChanges {
    /// A list is marked as stale for everybody, so everybody is told; a resource may be another one for each credential.
    fn changed(&self, change: &ServerNotification, credential: &UpstreamCredential) {
        let (Some(lists), Some(feeds)) = (self.lists.upgrade(), self.feeds.upgrade()) else {
            return;
        };
        match change {
            ServerNotification::List(list) => {
                lists.mark_stale(*list);
                feeds.tell(change);
            }
            _ => feeds.tell_listeners_with(credential, change),
        }
    }

    fn restarted(&self) {
        if let Some(lists) = self.lists.upgrade() {
            lists.doubt(true);
        }
    }
}
