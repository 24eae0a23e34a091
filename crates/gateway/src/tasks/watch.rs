//! Tasks of which a client wants to be told as they change: by the ids that it knows them by.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use bytes::Bytes;
use portolan_core::InstallName;
use portolan_wire::{
    era::Era,
    object::{self, RawObject},
};

use super::find;
use crate::{
    seal::TokenKeys,
    upstream::{Change, Sink},
    visit::Visit,
};

/// The tasks that one listen names, by where they are.
pub(crate) type Watching = HashMap<InstallName, Arc<Watched>>;

/// Those of one server: by its ids, as the client knows them.
#[derive(Debug, Default)]
pub(crate) struct Watched(HashMap<Arc<str>, Arc<str>>);

/// Tells a client of tasks under the ids that it knows.
#[derive(Debug)]
pub(crate) struct Teller {
    client: Arc<dyn Sink>,
    watched: Arc<Watched>,
}

/// Where these tasks are. One that is none of this caller's is nowhere.
pub(crate) fn watching(visit: &Visit, keys: &TokenKeys, ids: &[String]) -> Watching {
    let mut by_install: HashMap<InstallName, Watched> = HashMap::new();
    for id in ids {
        if let Some(found) = find(visit, keys, id).filter(|found| found.is_at(Era::Modern)) {
            let watched = by_install.entry(found.mounted.install.name).or_default();
            watched.0.insert(found.id.into(), id.as_str().into());
        }
    }
    let shared = by_install
        .into_iter()
        .map(|(install, watched)| (install, Arc::new(watched)));
    shared.collect()
}

impl Watched {
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

impl Teller {
    /// Who tells a client; who does that otherwise, where no task is watched.
    pub(crate) fn of(client: Arc<dyn Sink>, watched: Option<&Arc<Watched>>) -> Arc<dyn Sink> {
        match watched {
            None => client,
            Some(watched) => Arc::new(Self {
                client,
                watched: watched.clone(),
            }),
        }
    }
}

impl Sink for Teller {
    fn tell(&self, change: &Change) {
        let Change::Task { id, params } = change else {
            return self.client.tell(change);
        };
        if let Some(known) = self.watched.0.get(id)
            && let Some(params) = renamed(params, known)
        {
            let id = known.clone();
            self.client.tell(&Change::Task { id, params });
        }
    }
}

fn renamed(params: &Bytes, id: &str) -> Option<Bytes> {
    let mut task = RawObject::parse_checked(params).ok()?;
    task.set("taskId", object::quote(id));
    Some(task.to_bytes())
}
