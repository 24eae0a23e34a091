//! Task notifications: the tasks a client subscribes to, by the ids it knows.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use bytes::Bytes;
use portolan_client::notifications::{NotificationSink, ServerNotification};
use portolan_core::InstallName;
use portolan_wire::{
    era::Era,
    object::{self, RawObject},
};

use crate::{routing::RequestContext, seal::TokenKeys, task_ids};

/// The tasks that one `subscriptions/listen` names, by install.
pub(crate) type Watching = HashMap<InstallName, Arc<WatchedTasks>>;

/// The tasks of one server: the client's id by the server's.
#[derive(Debug, Default)]
pub(crate) struct WatchedTasks(HashMap<Arc<str>, Arc<str>>);

/// Sends task notifications to a client, under the ids it knows.
#[derive(Debug)]
pub(crate) struct TaskNotifier {
    client: Arc<dyn NotificationSink>,
    watched: Arc<WatchedTasks>,
}

/// Finds the servers of these tasks. Tasks of other callers are ignored.
pub(crate) fn watching(context: &RequestContext, keys: &TokenKeys, ids: &[String]) -> Watching {
    let mut by_install: HashMap<InstallName, WatchedTasks> = HashMap::new();
    for id in ids {
        if let Some(located) = task_ids::find(context, keys, id).filter(|located| located.is_at(Era::Modern)) {
            let watched = by_install.entry(located.place.1.name).or_default();
            watched.0.insert(located.id.into(), id.as_str().into());
        }
    }
    let shared = by_install
        .into_iter()
        .map(|(install, watched)| (install, Arc::new(watched)));
    shared.collect()
}

impl WatchedTasks {
    /// Returns the server's ids.
    pub(crate) fn own(&self) -> BTreeSet<Arc<str>> {
        self.0.keys().cloned().collect()
    }

    /// Returns the client's ids of the tasks in `own`.
    pub(crate) fn client_ids<'a>(&'a self, own: &'a BTreeSet<Arc<str>>) -> impl Iterator<Item = &'a Arc<str>> {
        self.0
            .iter()
            .filter(|(id, _)| own.contains(*id))
            .map(|(_, client_id)| client_id)
    }
}

impl TaskNotifier {
    /// Wraps `client`; returns it unchanged if no task is watched.
    pub(crate) fn of(
        client: Arc<dyn NotificationSink>,
        watched: Option<&Arc<WatchedTasks>>,
    ) -> Arc<dyn NotificationSink> {
        match watched {
            None => client,
            Some(watched) => Arc::new(Self {
                client,
                watched: watched.clone(),
            }),
        }
    }
}

impl NotificationSink for TaskNotifier {
    fn tell(&self, change: &ServerNotification) {
        let ServerNotification::Task { id, params } = change else {
            return self.client.tell(change);
        };
        if let Some(client_id) = self.watched.0.get(id)
            && let Some(params) = renamed(params, client_id)
        {
            let id = client_id.clone();
            self.client.tell(&ServerNotification::Task { id, params });
        }
    }
}

fn renamed(params: &Bytes, id: &str) -> Option<Bytes> {
    let mut task = RawObject::parse_checked(params).ok()?;
    task.set("taskId", object::quote(id));
    Some(task.to_bytes())
}
