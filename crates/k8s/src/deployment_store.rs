//! All deployments of a runtime: by what they are for, and by who uses them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use portolan_core::{InstallName, Result, RunSpec};
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;

use crate::{
    api_client::{ApiClient, MAX_CONCURRENT_CALLS},
    config::Environment,
    connect::KubeClients,
    deployment_state::{DeploymentState, DesiredSpec},
    garbage_collect,
    name::DeploymentKey,
    namespace::{Namespace, OnChange},
    reconcile,
    runtime_context::RuntimeContext,
};

/// All deployments.
pub(crate) struct DeploymentStore {
    pub(crate) context: Arc<RuntimeContext>,
    /// The namespaces, each once; the default one is the first.
    pub(crate) namespaces: Vec<Arc<Namespace>>,
    /// Which namespace an environment is.
    environments: BTreeMap<Option<String>, usize>,
    deployments: Mutex<BTreeMap<(usize, DeploymentKey), Entry>>,
    /// Where each install is that was asked for: what calls look up.
    by_install: Mutex<BTreeMap<InstallName, Arc<DeploymentState>>>,
}

struct Entry {
    deployment: Arc<DeploymentState>,
    /// It keeps the deployment as it is wanted, as long as this is there.
    _task: AbortOnDropHandle<()>,
}

impl DeploymentStore {
    /// Knows the namespaces of all environments; watches none of them yet.
    pub(crate) fn new(context: Arc<RuntimeContext>, clients: &KubeClients) -> Self {
        let permits = Arc::new(tokio::sync::Semaphore::new(MAX_CONCURRENT_CALLS));
        let config = &context.config;
        let mut store = Self {
            context: context.clone(),
            namespaces: Vec::new(),
            environments: BTreeMap::new(),
            deployments: Mutex::default(),
            by_install: Mutex::default(),
        };
        let named = config
            .environments
            .iter()
            .map(|(name, environment)| (Some(name.clone()), environment));
        let mut by_install: BTreeMap<(bool, Option<String>, &str), usize> = BTreeMap::new();
        for (name, environment) in [(None, &config.default_environment)].into_iter().chain(named) {
            let own = name.as_ref().filter(|name| clients.environments.contains_key(*name));
            let key = (own.is_some(), own.cloned(), environment.namespace.as_str());
            let place = *by_install.entry(key).or_insert_with(|| {
                let client = clients.of(name.as_deref());
                let cluster = ApiClient::new(
                    client.client.clone(),
                    environment.namespace.clone(),
                    client.cluster_name.clone(),
                    config.deadline,
                    permits.clone(),
                );
                store.namespaces.push(Arc::new(Namespace::new(
                    cluster,
                    config.field_manager.clone(),
                    client.is_in_cluster,
                )));
                store.namespaces.len() - 1
            });
            store.environments.insert(name, place);
        }
        store
    }

    /// Watches all namespaces from now on, in `tasks`.
    pub(crate) fn watch(self: &Arc<Self>, tasks: &mut JoinSet<()>) {
        for (place, namespace) in self.namespaces.iter().enumerate() {
            let store = Arc::downgrade(self);
            let on_change: OnChange = Arc::new(move |key| Self::change(&store, place, key));
            namespace.watch(tasks, &on_change);
        }
    }

    /// Something changed for a unit, or for all of a namespace.
    fn change(store: &Weak<Self>, place: usize, key: Option<&DeploymentKey>) {
        let Some(store) = store.upgrade() else { return };
        let Some(key) = key else {
            let deployments = store.deployments();
            deployments
                .iter()
                .filter(|((at, _), _)| *at == place)
                .for_each(|(_, entry)| entry.deployment.changed.notify_one());
            return;
        };
        let known = store
            .deployments()
            .get(&(place, key.clone()))
            .map(|entry| entry.deployment.clone());
        match known {
            Some(deployment) if deployment.is_unused() => {
                // It tells for the last time that it is gone. Somebody may have asked for it anew just now.
                deployment.publish();
                let mut deployments = store.deployments();
                if deployment.is_unused() {
                    deployments.remove(&(place, key.clone()));
                    store.by_install().retain(|_, at| !Arc::ptr_eq(at, &deployment));
                }
            }
            Some(deployment) => deployment.changed.notify_one(),
            None if store.namespaces[place]
                .objects()
                .deployment_of(key, &store.context.config.field_manager)
                .is_some() =>
            {
                store.get_or_create(place, key);
            }
            None => {}
        }
    }

    /// The cell of a unit, made if there is none.
    fn get_or_create(&self, place: usize, key: &DeploymentKey) -> Arc<DeploymentState> {
        self.get_or_create_locked(&mut self.deployments(), place, key)
    }

    fn get_or_create_locked(
        &self,
        deployments: &mut BTreeMap<(usize, DeploymentKey), Entry>,
        place: usize,
        key: &DeploymentKey,
    ) -> Arc<DeploymentState> {
        let entry = deployments.entry((place, key.clone())).or_insert_with(|| {
            let deployment = Arc::new(DeploymentState::new(
                key.clone(),
                self.namespaces[place].clone(),
                self.context.clone(),
            ));
            let task = AbortOnDropHandle::new(tokio::spawn(reconcile::run(deployment.clone())));
            Entry {
                deployment,
                _task: task,
            }
        });
        entry.deployment.clone()
    }

    /// Records what is wanted, and gives the cells that the install leaves by it.
    pub(crate) fn desired(
        &self,
        name: &InstallName,
        spec: &RunSpec,
        environment: &Environment,
    ) -> Vec<Arc<DeploymentState>> {
        let place = self
            .environments
            .get(&spec.kubernetes.environment)
            .copied()
            .unwrap_or_default();
        let key = DeploymentKey::of(name, spec);
        let before = self.deployments_of(name);
        // A cell is given up only under this lock, and only if nobody wants it.
        let mut deployments = self.deployments();
        let deployment = self.get_or_create_locked(&mut deployments, place, &key);
        self.by_install().insert(*name, deployment.clone());
        deployment.desired(DesiredSpec {
            name: *name,
            spec: spec.clone(),
            environment: environment.clone(),
        });
        before
            .into_iter()
            .filter(|other| !Arc::ptr_eq(other, &deployment))
            .collect()
    }

    /// The cells that `name` uses: one, and a second while it moves.
    pub(crate) fn deployments_of(&self, name: &InstallName) -> Vec<Arc<DeploymentState>> {
        let deployments: Vec<_> = self
            .deployments()
            .values()
            .map(|entry| entry.deployment.clone())
            .collect();
        deployments
            .into_iter()
            .filter(|deployment| deployment.is_used_by(name))
            .collect()
    }

    /// Cells for what is left of `name` where its Deployment has gone: a Secret, a policy.
    pub(crate) fn leftovers_of(&self, name: &InstallName) -> Vec<Arc<DeploymentState>> {
        let key = DeploymentKey::Install(*name);
        let has_any =
            |namespace: &Arc<Namespace>| garbage_collect::has_any(&namespace.objects(), &key, &namespace.manager);
        let by_install: Vec<_> = self
            .namespaces
            .iter()
            .enumerate()
            .filter(|(_, namespace)| has_any(namespace))
            .collect();
        let deployments = by_install.into_iter().map(|(place, _)| self.get_or_create(place, &key));
        deployments.filter(|deployment| !deployment.is_used_by(name)).collect()
    }

    /// The cell that `name` uses.
    pub(crate) fn deployment_of_install(&self, name: &InstallName) -> Option<Arc<DeploymentState>> {
        let placed = self.by_install().get(name).cloned();
        placed.or_else(|| self.deployments_of(name).first().cloned())
    }

    /// Everybody who uses something.
    pub(crate) fn users(&self) -> BTreeSet<InstallName> {
        let deployments: Vec<_> = self
            .deployments()
            .values()
            .map(|entry| entry.deployment.clone())
            .collect();
        deployments
            .iter()
            .flat_map(|deployment| deployment.all_users())
            .collect()
    }

    /// Takes `name` off a deployment, and removes the deployment with its last user.
    pub(crate) async fn release(&self, deployment: &Arc<DeploymentState>, name: &InstallName) -> Result<()> {
        let is_last = deployment.begin_removal(name);
        let _hands = deployment.write_lock.lock().await;
        let done = if is_last {
            garbage_collect::delete_all(deployment).await
        } else {
            garbage_collect::remove_user(deployment, name).await
        };
        done.map_err(|error| error.into_error(format!("remove {}", deployment.key)))?;
        // Somebody may have asked for it anew meanwhile.
        let mut deployments = self.deployments();
        let is_over = deployment.finish_removal(name);
        if !deployment.is_wanted_by(name) {
            let mut by_install = self.by_install();
            if by_install.get(name).is_some_and(|place| Arc::ptr_eq(place, deployment)) {
                by_install.remove(name);
            }
        }
        if is_over {
            deployments.retain(|_, entry| !Arc::ptr_eq(&entry.deployment, deployment));
        }
        Ok(())
    }

    fn by_install(&self) -> MutexGuard<'_, BTreeMap<InstallName, Arc<DeploymentState>>> {
        self.by_install.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn deployments(&self) -> MutexGuard<'_, BTreeMap<(usize, DeploymentKey), Entry>> {
        self.deployments.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
