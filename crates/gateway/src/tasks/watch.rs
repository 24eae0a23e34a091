//! Tasks of which a client wants to be told as they change: by the ids that it knows them by.

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

/// The tasks that one listen names, by where they are.
pub(crate) type Watching = HashMap<InstallName, Arc<WatchedTasks>>;

/// Those of one server: by its ids, as the client knows them.
#[derive(Debug, Default)]
pub(crate) struct WatchedTasks(HashMap<Arc<str>, Arc<str>>);

/// Tells a client of tasks under the ids that it knows.
#[derive(Debug)]
pub(crate) struct TaskNotifier {
    client: Arc<dyn NotificationSink>,
    watched: Arc<WatchedTasks>,
}

/// Where these tasks are. One that is none of this caller's is nowhere.
pub(crate) fn watching(context: &RequestContext, keys: &TokenKeys, ids: &[String]) -> Watching {
    let mut by_install: HashMap<InstallName, WatchedTasks> = HashMap::new();
    for id in ids {
        if let Some(found) = task_ids::find(context, keys, id).filter(|found| found.is_at(Era::Modern)) {
            let watched = by_install.entry(found.place.1.install.name).or_default();
            watched.0.insert(found.id.into(), id.as_str().into());
        }
    }
    let shared = by_install
        .into_iter()
        .map(|(install, watched)| (install, Arc::new(watched)));
    shared.collect()
}

impl WatchedTasks {
    /// The server's ids.
    pub(crate) fn own(&self) -> BTreeSet<Arc<str>> {
        self.0.keys().cloned().collect()
    }

    /// Those of `own` as the client knows them.
    pub(crate) fn known<'a>(&'a self, own: &'a BTreeSet<Arc<str>>) -> impl Iterator<Item = &'a Arc<str>> {
        self.0
            .iter()
            .filter(|(id, _)| own.contains(*id))
            .map(|(_, known)| known)
    }
}

impl TaskNotifier {
    /// Who tells a client; who does that otherwise, where no task is watched.
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
        if let Some(known) = self.watched.0.get(id)
            && let Some(params) = renamed(params, known)
        {
            let id = known.clone();
            self.client.tell(&ServerNotification::Task { id, params });
        }
    }
}

fn renamed(params: &Bytes, id: &str) -> Option<Bytes> {
    let mut task = RawObject::parse_checked(params).ok()?;
    task.set("taskId", object::quote(id));
    Some(task.to_bytes())
}
