//! From changed records to what gateways have to be told: changes, whole publications, withdrawals.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::{
    GatewayName, GatewaySpec, InstallName, InstallSet, Publication, PublicationChange, Route, ServerName, ServerSpec,
};

use super::{
    super::publication::{route_of, selected},
    State,
};

/// The records that have changed, each with what was there before the first change.
#[derive(Debug, Default)]
pub(super) struct Touched {
    servers: BTreeMap<ServerName, Before>,
    gateways: BTreeMap<GatewayName, Option<Arc<GatewaySpec>>>,
}

/// A server as it was.
#[derive(Debug)]
struct Before {
    server: Option<Arc<ServerSpec>>,
    ready: InstallSet,
    installs: BTreeSet<InstallName>,
}

/// What the gateway has to be told.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// Gateways that are gone.
    pub(super) withdrawn: Vec<GatewayName>,
    /// Gateways that are published as a whole.
    pub(super) whole: Vec<Publication>,
    /// Changes of the others.
    pub(super) changes: Vec<PublicationChange>,
}

impl Touched {
    /// Notes that the entry of a server changes.
    pub(super) fn server(&mut self, state: &State, name: &ServerName) -> &mut BTreeSet<InstallName> {
        let before = self.servers.entry(name.clone()).or_insert_with(|| Before {
            server: state.server(name),
            ready: state.ready_of(name),
            installs: BTreeSet::new(),
        });
        &mut before.installs
    }

    /// Notes that a ready install changes, or one that becomes ready.
    pub(super) fn install(&mut self, state: &State, server: &ServerName, name: &InstallName) {
        self.server(state, server).insert(*name);
    }

    /// Notes that a gateway changes.
    pub(super) fn gateway(&mut self, state: &State, name: &GatewayName) {
        let before = || state.gateways.get(name).map(|held| held.value.clone());
        self.gateways.entry(name.clone()).or_insert_with(before);
    }
}

impl State {
    /// Says what follows for gateways. All of them are stale until they have been told.
    pub(super) fn plan(&mut self, touched: &Touched) -> Plan {
        let mut plan = Plan::default();
        for (name, before) in &touched.gateways {
            self.plan_gateway(name, before.as_deref(), &mut plan);
        }
        for name in self.stale.clone() {
            match self.gateways.get(&name) {
                Some(held) => plan.whole.push(self.publication(&held.value)),
                None => plan.withdrawn.push(name),
            }
        }
        for held in self.gateways.values() {
            if !self.stale.contains(&held.value.name) {
                for (server, before) in &touched.servers {
                    plan.changes.extend(self.change(&held.value, server, before));
                }
            }
        }
        self.stale
            .extend(plan.changes.iter().map(|change| change.gateway().clone()));
        plan
    }

    fn plan_gateway(&mut self, name: &GatewayName, before: Option<&GatewaySpec>, plan: &mut Plan) {
        let now = self.gateways.get(name).map(|held| &*held.value);
        match (before, now) {
            (Some(before), Some(now)) if before == now => {}
            (Some(before), Some(now)) if !self.stale.contains(name) && selects_same(before, now) => {
                plan.changes.push(PublicationChange::Spec(now.clone().into()));
            }
            _ => {
                self.stale.insert(name.clone());
            }
        }
    }

    /// Returns the change of a gateway's route to a server, if there is one.
    fn change(&self, gateway: &GatewaySpec, name: &ServerName, before: &Before) -> Option<PublicationChange> {
        let was = before.server.as_ref();
        let was = was.and_then(|server| route_of(gateway, server, &before.ready));
        let server = self.server(name);
        let is = server.and_then(|server| route_of(gateway, &server, &self.ready_of(name)));
        let (gateway, server) = (gateway.name.clone(), name.clone());
        match (was, is) {
            (None, None) => None,
            (Some(_), None) => Some(PublicationChange::RouteRemoved { gateway, server }),
            (Some(was), Some(is)) if differs_in_installs_alone(&was, &is) => {
                let changed = before.installs.iter().copied();
                let changed: Vec<_> = changed
                    .filter(|name| was.installs.get(name) != is.installs.get(name))
                    .collect();
                (!changed.is_empty()).then(|| PublicationChange::Installs {
                    gateway,
                    server,
                    installs: is.installs,
                    changed,
                })
            }
            (_, Some(route)) => Some(PublicationChange::Route { gateway, route }),
        }
    }

    /// Returns all that a gateway serves.
    pub(super) fn publication(&self, gateway: &GatewaySpec) -> Publication {
        let servers = self.servers.values().map(|held| &held.value);
        let routes = selected(gateway, servers, |server| self.ready_of(server));
        Publication::new(gateway.clone(), routes)
    }
}

fn selects_same(before: &GatewaySpec, now: &GatewaySpec) -> bool {
    before.selection == now.selection && before.labels == now.labels
}

fn differs_in_installs_alone(was: &Route, is: &Route) -> bool {
    was.server == is.server && was.pinned == is.pinned && was.tools == is.tools
}
