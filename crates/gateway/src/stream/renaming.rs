//! Resources of a server, as its clients have them.

use std::sync::Arc;

use portolan_core::ServerName;

use super::Outbox;
use crate::{
    upstream::{Change, Sink},
    uris,
};

/// Tells of the changes of one server, with URIs that name it.
#[derive(Debug)]
pub(super) struct Renaming {
    server: ServerName,
    outbox: Arc<Outbox>,
}

impl Renaming {
    pub(super) fn new(server: ServerName, outbox: Arc<Outbox>) -> Self {
        Self { server, outbox }
    }
}

impl Sink for Renaming {
    fn tell(&self, change: &Change) {
        match change {
            Change::Updated { uri, params } => self.outbox.tell(&Change::Updated {
                uri: uris::prefixed(&self.server, uri).into(),
                params: uris::in_text(&self.server, params, uris::RESOURCE),
            }),
            Change::Task { id, params } => self.outbox.tell(&Change::Task {
                id: id.clone(),
                params: uris::in_text(&self.server, params, uris::TASK),
            }),
            other => self.outbox.tell(other),
        }
    }
}
