//! All deployments of a runtime: by what they are for, and by who uses them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use portolan_core::{InstallName, Result, RunSpec};
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;

use crate::{
    api_client::{AT_ONCE, Cluster},
    config::Environment,
    connect::KubeClients,
    deployment_state::{Cell, Wish},
    garbage_collect,
    name::Unit,
    namespace::{OnChange, Target},
    reconcile,
    runtime_context::Ground,
};

/// All deployments.
pub(crate) struct Hub {
    pub(crate) ground: Arc<Ground>,
    /// The namespaces, each once; the default one is the first.
    pub(crate) targets: Vec<Arc<Target>>,
    /// Which namespace an environment is.
    environments: BTreeMap<Option<String>, usize>,
    cells: Mutex<BTreeMap<(usize, Unit), Entry>>,
    /// Where each install is that was asked for: what calls look up.
    places: Mutex<BTreeMap<InstallName, Arc<Cell>>>,
}

struct Entry {
    cell: Arc<Cell>,
    /// It keeps the deployment as it is wanted, as long as this is there.
    _task: AbortOnDropHandle<()>,
}

impl Hub {
    /// Knows the namespaces of all environments; watches none of them yet.
    pub(crate) fn new(ground: Arc<Ground>, clients: &KubeClients) -> Self {
        let permits = Arc::new(tokio::sync::Semaphore::new(AT_ONCE));
        let config = &ground.config;
        let mut hub = Self {
            ground: ground.clone(),
            targets: Vec::new(),
            environments: BTreeMap::new(),
            cells: Mutex::default(),
            places: Mutex::default(),
        };
        let named = config
            .environments
            .iter()
            .map(|(name, environment)| (Some(name.clone()), environment));
        let mut places: BTreeMap<(bool, Option<String>, &str), usize> = BTreeMap::new();
        for (name, environment) in [(None, &config.default_environment)].into_iter().chain(named) {
            let own = name.as_ref().filter(|name| clients.environments.contains_key(*name));
            let key = (own.is_some(), own.cloned(), environment.namespace.as_str());
            let place = *places.entry(key).or_insert_with(|| {
                let client = clients.of(name.as_deref());
                let cluster = Cluster::new(
                    client.client.clone(),
                    environment.namespace.clone(),
                    client.title.clone(),
                    config.deadline,
                    permits.clone(),
                );
                hub.targets.push(Arc::new(Target::new(
                    cluster,
                    config.field_manager.clone(),
                    client.is_around,
                )));
                hub.targets.len() - 1
            });
            hub.environments.insert(name, place);
        }
        hub
    }

    /// Watches all namespaces from now on, in `tasks`.
    pub(crate) fn watch(self: &Arc<Self>, tasks: &mut JoinSet<()>) {
        for (place, target) in self.targets.iter().enumerate() {
            let hub = Arc::downgrade(self);
            let on_change: OnChange = Arc::new(move |unit| Self::change(&hub, place, unit));
            target.watch(tasks, &on_change);
        }
    }

    /// Something changed for a unit, or for all of a namespace.
    fn change(hub: &Weak<Self>, place: usize, unit: Option<&Unit>) {
        let Some(hub) = hub.upgrade() else { return };
        let Some(unit) = unit else {
            let cells = hub.cells();
            cells
                .iter()
                .filter(|((at, _), _)| *at == place)
                .for_each(|(_, entry)| entry.cell.changed.notify_one());
            return;
        };
        let known = hub.cells().get(&(place, unit.clone())).map(|entry| entry.cell.clone());
        match known {
            Some(cell) if cell.is_forsaken() => {
                // It tells for the last time that it is gone. Somebody may have asked for it anew just now.
                cell.publish();
                let mut cells = hub.cells();
                if cell.is_forsaken() {
                    cells.remove(&(place, unit.clone()));
                    hub.places().retain(|_, at| !Arc::ptr_eq(at, &cell));
                }
            }
            Some(cell) => cell.changed.notify_one(),
            None if hub.targets[place]
                .view()
                .deployment_of(unit, &hub.ground.config.field_manager)
                .is_some() =>
            {
                hub.cell(place, unit);
            }
            None => {}
        }
    }

    /// The cell of a unit, made if there is none.
    fn cell(&self, place: usize, unit: &Unit) -> Arc<Cell> {
        self.cell_among(&mut self.cells(), place, unit)
    }

    fn cell_among(&self, cells: &mut BTreeMap<(usize, Unit), Entry>, place: usize, unit: &Unit) -> Arc<Cell> {
        let entry = cells.entry((place, unit.clone())).or_insert_with(|| {
            let cell = Arc::new(Cell::new(
                unit.clone(),
                self.targets[place].clone(),
                self.ground.clone(),
            ));
            let task = AbortOnDropHandle::new(tokio::spawn(reconcile::keep(cell.clone())));
            Entry { cell, _task: task }
        });
        entry.cell.clone()
    }

    /// Records what is wanted, and gives the cells that the install leaves by it.
    pub(crate) fn wish(&self, name: &InstallName, spec: &RunSpec, environment: &Environment) -> Vec<Arc<Cell>> {
        let place = self
            .environments
            .get(&spec.kubernetes.environment)
            .copied()
            .unwrap_or_default();
        let unit = Unit::of(name, spec);
        let before = self.cells_of(name);
        // A cell is given up only under this lock, and only if nobody wants it.
        let mut cells = self.cells();
        let cell = self.cell_among(&mut cells, place, &unit);
        self.places().insert(*name, cell.clone());
        cell.wish(Wish {
            name: *name,
            spec: spec.clone(),
            environment: environment.clone(),
        });
        before.into_iter().filter(|other| !Arc::ptr_eq(other, &cell)).collect()
    }

    /// The cells that `name` uses: one, and a second while it moves.
    pub(crate) fn cells_of(&self, name: &InstallName) -> Vec<Arc<Cell>> {
        let cells: Vec<_> = self.cells().values().map(|entry| entry.cell.clone()).collect();
        cells.into_iter().filter(|cell| cell.is_used_by(name)).collect()
    }

    /// Cells for what is left of `name` where its Deployment has gone: a Secret, a policy.
    pub(crate) fn remains_of(&self, name: &InstallName) -> Vec<Arc<Cell>> {
        let unit = Unit::Install(*name);
        let has_any = |target: &Arc<Target>| garbage_collect::has_any(&target.view(), &unit, &target.manager);
        let places: Vec<_> = self
            .targets
            .iter()
            .enumerate()
            .filter(|(_, target)| has_any(target))
            .collect();
        let cells = places.into_iter().map(|(place, _)| self.cell(place, &unit));
        cells.filter(|cell| !cell.is_used_by(name)).collect()
    }

    /// The cell that `name` uses.
    pub(crate) fn cell_of(&self, name: &InstallName) -> Option<Arc<Cell>> {
        let placed = self.places().get(name).cloned();
        placed.or_else(|| self.cells_of(name).first().cloned())
    }

    /// Everybody who uses something.
    pub(crate) fn users(&self) -> BTreeSet<InstallName> {
        let cells: Vec<_> = self.cells().values().map(|entry| entry.cell.clone()).collect();
        cells.iter().flat_map(|cell| cell.all_users()).collect()
    }

    /// Takes `name` off a deployment, and removes the deployment with its last user.
    pub(crate) async fn leave(&self, cell: &Arc<Cell>, name: &InstallName) -> Result<()> {
        let is_last = cell.begin_leaving(name);
        let _hands = cell.hands.lock().await;
        let done = if is_last {
            garbage_collect::everything(cell).await
        } else {
            garbage_collect::signature(cell, name).await
        };
        done.map_err(|fault| fault.into_error(format!("remove {}", cell.unit)))?;
        // Somebody may have asked for it anew meanwhile.
        let mut cells = self.cells();
        let is_over = cell.end_leaving(name);
        if !cell.is_wanted_by(name) {
            let mut places = self.places();
            if places.get(name).is_some_and(|place| Arc::ptr_eq(place, cell)) {
                places.remove(name);
            }
        }
        if is_over {
            cells.retain(|_, entry| !Arc::ptr_eq(&entry.cell, cell));
        }
        Ok(())
    }

    fn places(&self) -> MutexGuard<'_, BTreeMap<InstallName, Arc<Cell>>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn cells(&self) -> MutexGuard<'_, BTreeMap<(usize, Unit), Entry>> {
        self.cells.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
