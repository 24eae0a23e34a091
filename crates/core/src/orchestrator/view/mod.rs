//! What an orchestrator knows of the registry: servers, gateways, and installs by server and by owner.
//!
//! It is read by pages once and kept in step by key: with each own write, and with the change feed. Whatever is read by key is
//! read while `turn` is held, so the last to change the view is also the last to have looked, and an older state never
//! replaces a newer one. A record whose version is known already is no change.

mod change;
mod follow;
mod sync;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::{
    GatewayName, GatewaySpec, Install, InstallName, InstallSet, Key, Record, Revision, ServerName, ServerSpec, Version,
    Versioned,
};

use change::Touched;

/// The view, and the turn of who changes it.
#[derive(Debug, Default)]
pub(super) struct View {
    state: Mutex<State>,
    /// Held from reading a record until the gateway has what follows from it.
    turn: tokio::sync::Mutex<()>,
}

/// A record as it was last read.
#[derive(Debug)]
struct Held<T> {
    version: Version,
    value: Arc<T>,
}

impl<T> Clone for Held<T> {
    fn clone(&self) -> Self {
        Self {
            version: self.version,
            value: self.value.clone(),
        }
    }
}

#[derive(Debug, Default)]
struct State {
    /// The position in the feed up to which all changes are known; `None` before everything was read.
    revision: Option<Revision>,
    servers: BTreeMap<ServerName, Held<ServerSpec>>,
    gateways: BTreeMap<GatewayName, Held<GatewaySpec>>,
    installs: HashMap<InstallName, Held<Install>>,
    /// The ready installs of each server.
    ready: BTreeMap<ServerName, InstallSet>,
    /// Gateways that may serve something else than follows from this state. They are published as a whole next time.
    stale: BTreeSet<GatewayName>,
    /// Those of them that could not be published.
    failed: BTreeSet<GatewayName>,
}

impl View {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns a server, if it is known.
    pub(super) fn server(&self, name: &ServerName) -> Option<Arc<ServerSpec>> {
        self.lock().servers.get(name).map(|held| held.value.clone())
    }

    /// Returns an install, if it is known.
    pub(super) fn install(&self, name: &InstallName) -> Option<Arc<Install>> {
        self.lock().installs.get(name).map(|held| held.value.clone())
    }

    /// Returns all known installs, sorted by name.
    pub(super) fn installs(&self) -> Vec<Versioned<Arc<Install>>> {
        let mut all: Vec<_> = self
            .lock()
            .installs
            .values()
            .map(|held| Versioned {
                value: held.value.clone(),
                version: held.version,
            })
            .collect();
        all.sort_unstable_by_key(|install| install.value.name);
        all
    }
}

impl State {
    /// Adds a record of a whole reading. What `known` has in the same version stays the same in memory.
    fn add(&mut self, record: Versioned<Record>, known: &Self) {
        let version = record.version;
        match record.value {
            Record::Server(server) => {
                let held = hold(known.servers.get(&server.name), server, version);
                self.servers.insert(held.value.name.clone(), held);
            }
            Record::Gateway(gateway) => {
                let held = hold(known.gateways.get(&gateway.name), gateway, version);
                self.gateways.insert(held.value.name.clone(), held);
            }
            Record::Install(install) => {
                let held = hold(known.installs.get(&install.name), install, version);
                self.installs.insert(held.value.name, held);
            }
            Record::Token(_) => {}
        }
    }

    /// Indexes the ready installs after all were added.
    fn index_ready(&mut self) {
        let mut ready = BTreeMap::<&ServerName, Vec<_>>::new();
        for held in self.installs.values().filter(|held| held.value.is_ready()) {
            ready.entry(&held.value.server).or_default().push(held.value.clone());
        }
        self.ready = ready
            .into_iter()
            .map(|(server, installs)| (server.clone(), installs.into()))
            .collect();
    }

    /// Takes the state of one record over, and notes in `touched` what was there before.
    fn take(&mut self, key: &Key, found: Option<Versioned<Record>>, touched: &mut Touched) {
        let (record, version) = match found {
            Some(found) => (Some(found.value), Some(found.version)),
            None => (None, None),
        };
        match (key, record, version) {
            (Key::Server(name), Some(Record::Server(server)), Some(version)) => {
                self.take_server(name, Some((server, version)), touched);
            }
            (Key::Gateway(name), Some(Record::Gateway(gateway)), Some(version)) => {
                self.take_gateway(name, Some((gateway, version)), touched);
            }
            (Key::Install(name), Some(Record::Install(install)), Some(version)) => {
                self.take_install(name, Some((install, version)), touched);
            }
            (Key::Server(name), ..) => self.take_server(name, None, touched),
            (Key::Gateway(name), ..) => self.take_gateway(name, None, touched),
            (Key::Install(name), ..) => self.take_install(name, None, touched),
            (Key::Token(_), ..) => {}
        }
    }

    fn take_server(&mut self, name: &ServerName, now: Option<(ServerSpec, Version)>, touched: &mut Touched) {
        let before = self.servers.get(name);
        if before.map(|held| held.version) == now.as_ref().map(|(_, version)| *version) {
            return;
        }
        if before.map(|held| &*held.value) != now.as_ref().map(|(server, _)| server) {
            touched.server(self, name);
        }
        replace(&mut self.servers, name, now);
    }

    fn take_gateway(&mut self, name: &GatewayName, now: Option<(GatewaySpec, Version)>, touched: &mut Touched) {
        let before = self.gateways.get(name);
        if before.map(|held| held.version) == now.as_ref().map(|(_, version)| *version) {
            return;
        }
        if before.map(|held| &*held.value) != now.as_ref().map(|(gateway, _)| gateway) {
            touched.gateway(self, name);
        }
        replace(&mut self.gateways, name, now);
    }

    fn take_install(&mut self, name: &InstallName, now: Option<(Install, Version)>, touched: &mut Touched) {
        let before = self.installs.get(name).cloned();
        if before.as_ref().map(|held| held.version) == now.as_ref().map(|(_, version)| *version) {
            return;
        }
        let before = before.map(|held| held.value);
        if before.as_deref() == now.as_ref().map(|(install, _)| install) {
            if let (Some(held), Some((_, version))) = (self.installs.get_mut(name), now) {
                held.version = version;
            }
            return;
        }
        if let Some(before) = before.filter(|install| install.is_ready()) {
            touched.install(self, &before.server, name);
            self.change_ready(&before.server, |ready| ready.without(name));
        }
        let Some((install, version)) = now else {
            self.installs.remove(name);
            return;
        };
        let value = Arc::new(install);
        if value.is_ready() {
            touched.install(self, &value.server, name);
            self.change_ready(&value.server, |ready| ready.with(value.clone()));
        }
        self.installs.insert(*name, Held { version, value });
    }

    fn change_ready(&mut self, server: &ServerName, change: impl FnOnce(&InstallSet) -> InstallSet) {
        let changed = change(&self.ready_of(server));
        if changed.is_empty() {
            self.ready.remove(server);
        } else {
            self.ready.insert(server.clone(), changed);
        }
    }

    fn ready_of(&self, server: &ServerName) -> InstallSet {
        self.ready.get(server).cloned().unwrap_or_default()
    }

    fn server(&self, name: &ServerName) -> Option<Arc<ServerSpec>> {
        self.servers.get(name).map(|held| held.value.clone())
    }
}

fn hold<T>(known: Option<&Held<T>>, value: T, version: Version) -> Held<T> {
    match known.filter(|held| held.version == version) {
        Some(held) => held.clone(),
        None => Held {
            version,
            value: Arc::new(value),
        },
    }
}

/// Replaces a value, and keeps an equal one as it is in memory.
fn replace<K: Ord + Clone, T: PartialEq>(all: &mut BTreeMap<K, Held<T>>, name: &K, now: Option<(T, Version)>) {
    let Some((value, version)) = now else {
        all.remove(name);
        return;
    };
    let same = all.get(name).filter(|held| *held.value == value);
    let value = same.map_or_else(|| Arc::new(value), |held| held.value.clone());
    all.insert(name.clone(), Held { version, value });
}
