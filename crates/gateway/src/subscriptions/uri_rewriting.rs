//! Rewrites the URIs in the notifications of a server.

use std::sync::Arc;

use portolan_client::notifications::{NotificationSink, ServerNotification};
use portolan_core::ServerName;

use super::NotificationQueue;
use crate::routing::uris;

/// Forwards the notifications of one server, with URIs prefixed by its name.
#[derive(Debug)]
pub(super) struct UriRewritingSink {
    server: ServerName,
    queue: Arc<NotificationQueue>,
}

impl UriRewritingSink {
    pub(super) fn new(server: ServerName, queue: Arc<NotificationQueue>) -> Self {
        Self { server, queue }
    }
}

impl NotificationSink for UriRewritingSink {
    fn tell(&self, change: &ServerNotification) {
        match change {
            ServerNotification::Updated { uri, params } => self.queue.tell(&ServerNotification::Updated {
                uri: uris::prefixed(&self.server, uri).into(),
                params: uris::in_text(&self.server, params, uris::RESOURCE),
            }),
            ServerNotification::Task { id, params } => self.queue.tell(&ServerNotification::Task {
                id: id.clone(),
                params: uris::in_text(&self.server, params, uris::TASK),
            }),
            other => self.queue.tell(other),
        }
    }
}
