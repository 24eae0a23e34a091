//! All deployments of a runtime, by key and by install.

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

/// The index of a namespace in [`DeploymentStore::namespaces`].
type NamespaceIndex = usize;

type Deployments = BTreeMap<(NamespaceIndex, DeploymentKey), Entry>;

/// All deployments of a runtime.
pub(crate) struct DeploymentStore {
    pub(crate) context: Arc<RuntimeContext>,
    /// The namespaces, each once; the default one is the first.
    pub(crate) namespaces: Vec<Arc<Namespace>>,
    /// The namespace of each environment.
    environments: BTreeMap<Option<String>, NamespaceIndex>,
    deployments: Mutex<Deployments>,
    /// The deployment of each ensured install: what calls look up.
    by_install: Mutex<BTreeMap<InstallName, Arc<DeploymentState>>>,
}

struct Entry {
    deployment: Arc<DeploymentState>,
    /// Reconciles the deployment until it is dropped.
    _task: AbortOnDropHandle<()>,
}

impl DeploymentStore {
    /// Creates the namespaces of all environments, without watching them.
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
        let mut known: BTreeMap<(Option<String>, &str), NamespaceIndex> = BTreeMap::new();
        for (name, environment) in [(None, &config.default_environment)].into_iter().chain(named) {
            let own_client = name.as_ref().filter(|name| clients.environments.contains_key(*name));
            let place = (own_client.cloned(), environment.namespace.as_str());
            let index = *known.entry(place).or_insert_with(|| {
                let client = clients.of(name.as_deref());
                let api_client = ApiClient::new(
                    client.client.clone(),
                    environment.namespace.clone(),
                    client.cluster_name.clone(),
                    config.deadline,
                    permits.clone(),
                );
                store.namespaces.push(Arc::new(Namespace::new(
                    api_client,
                    config.field_manager.clone(),
                    client.is_in_cluster,
                )));
                store.namespaces.len() - 1
            });
            store.environments.insert(name, index);
        }
        store
    }

    /// Watches all namespaces, in `tasks`.
    pub(crate) fn watch(self: &Arc<Self>, tasks: &mut JoinSet<()>) {
        for (index, namespace) in self.namespaces.iter().enumerate() {
            let store = Arc::downgrade(self);
            let on_change: OnChange = Arc::new(move |key| Self::on_change(&store, index, key));
            namespace.watch(tasks, &on_change);
        }
    }

    /// Handles a change of one deployment, or of a whole namespace.
    fn on_change(store: &Weak<Self>, index: NamespaceIndex, key: Option<&DeploymentKey>) {
        let Some(store) = store.upgrade() else { return };
        let Some(key) = key else {
            let deployments = store.deployments();
            deployments
                .iter()
                .filter(|((at, _), _)| *at == index)
                .for_each(|(_, entry)| entry.deployment.changed.notify_one());
            return;
        };
        let known = store
            .deployments()
            .get(&(index, key.clone()))
            .map(|entry| entry.deployment.clone());
        match known {
            Some(deployment) if deployment.is_unused() => {
                // Publishes the removal. An install may have ensured it again meanwhile.
                deployment.publish();
                let mut deployments = store.deployments();
                if deployment.is_unused() {
                    deployments.remove(&(index, key.clone()));
                    store.by_install().retain(|_, at| !Arc::ptr_eq(at, &deployment));
                }
            }
            Some(deployment) => deployment.changed.notify_one(),
            None if store.namespaces[index]
                .objects()
                .deployment_of(key, &store.context.config.field_manager)
                .is_some() =>
            {
                store.get_or_create(index, key);
            }
            None => {}
        }
    }

    fn get_or_create(&self, index: NamespaceIndex, key: &DeploymentKey) -> Arc<DeploymentState> {
        self.get_or_create_locked(&mut self.deployments(), index, key)
    }

    fn get_or_create_locked(
        &self,
        deployments: &mut Deployments,
        index: NamespaceIndex,
        key: &DeploymentKey,
    ) -> Arc<DeploymentState> {
        let entry = deployments.entry((index, key.clone())).or_insert_with(|| {
            let deployment = Arc::new(DeploymentState::new(
                key.clone(),
                self.namespaces[index].clone(),
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

    /// Records the spec of an install, and returns the deployments that the install no longer uses.
    pub(crate) fn set_desired(
        &self,
        name: &InstallName,
        spec: &RunSpec,
        environment: &Environment,
    ) -> Vec<Arc<DeploymentState>> {
        let index = self
            .environments
            .get(&spec.kubernetes.environment)
            .copied()
            .unwrap_or_default();
        let key = DeploymentKey::of(name, spec);
        let before = self.deployments_of(name);
        // A deployment is dropped only under this lock, and only if it has no user.
        let mut deployments = self.deployments();
        let deployment = self.get_or_create_locked(&mut deployments, index, &key);
        self.by_install().insert(*name, deployment.clone());
        deployment.set_desired(DesiredSpec {
            name: *name,
            spec: spec.clone(),
            environment: environment.clone(),
        });
        before
            .into_iter()
            .filter(|other| !Arc::ptr_eq(other, &deployment))
            .collect()
    }

    /// Returns the deployments that `name` uses: one, or two while it moves.
    pub(crate) fn deployments_of(&self, name: &InstallName) -> Vec<Arc<DeploymentState>> {
        let all = self.all();
        all.into_iter()
            .filter(|deployment| deployment.is_used_by(name))
            .collect()
    }

    /// Returns deployments for objects of `name` whose Deployment is gone, such as a Secret or a policy.
    pub(crate) fn leftovers_of(&self, name: &InstallName) -> Vec<Arc<DeploymentState>> {
        let key = DeploymentKey::Install(*name);
        let has_any =
            |namespace: &Arc<Namespace>| garbage_collect::has_any(&namespace.objects(), &key, &namespace.manager);
        let found: Vec<_> = self
            .namespaces
            .iter()
            .enumerate()
            .filter(|(_, namespace)| has_any(namespace))
            .collect();
        let deployments = found.into_iter().map(|(index, _)| self.get_or_create(index, &key));
        deployments.filter(|deployment| !deployment.is_used_by(name)).collect()
    }

    /// Returns the deployment that `name` uses.
    pub(crate) fn deployment_of_install(&self, name: &InstallName) -> Option<Arc<DeploymentState>> {
        let ensured = self.by_install().get(name).cloned();
        ensured.or_else(|| self.deployments_of(name).first().cloned())
    }

    /// Returns all installs that use a deployment.
    pub(crate) fn users(&self) -> BTreeSet<InstallName> {
        self.all()
            .iter()
            .flat_map(|deployment| deployment.all_users())
            .collect()
    }

    /// Removes the user `name` from a deployment, and the deployment with its last user.
    pub(crate) async fn release(&self, deployment: &Arc<DeploymentState>, name: &InstallName) -> Result<()> {
        let is_last = deployment.begin_removal(name);
        let _writing = deployment.write_lock.lock().await;
        let done = if is_last {
            garbage_collect::delete_all(deployment).await
        } else {
            garbage_collect::remove_user(deployment, name).await
        };
        done.map_err(|error| error.into_error(format!("remove {}", deployment.key)))?;
        // An install may have ensured it again meanwhile.
        let mut deployments = self.deployments();
        let is_unused = deployment.finish_removal(name);
        if !deployment.is_wanted_by(name) {
            let mut by_install = self.by_install();
            if by_install.get(name).is_some_and(|other| Arc::ptr_eq(other, deployment)) {
                by_install.remove(name);
            }
        }
        if is_unused {
            deployments.retain(|_, entry| !Arc::ptr_eq(&entry.deployment, deployment));
        }
        Ok(())
    }

    fn all(&self) -> Vec<Arc<DeploymentState>> {
        self.deployments()
            .values()
            .map(|entry| entry.deployment.clone())
            .collect()
    }

    fn by_install(&self) -> MutexGuard<'_, BTreeMap<InstallName, Arc<DeploymentState>>> {
        self.by_install.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn deployments(&self) -> MutexGuard<'_, Deployments> {
        self.deployments.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
