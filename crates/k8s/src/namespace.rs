//! A namespace that deployments run in: its API client, and the objects that its watches report.

use std::{
    collections::BTreeMap,
    fmt,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::StreamExt;
use k8s_openapi::{
    api::{
        apps::v1::Deployment,
        core::v1::{Event, Pod, Secret as SecretObject, Service},
        networking::v1::NetworkPolicy,
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{
    Api, Resource,
    api::{Patch, PatchParams},
    core::PartialObjectMeta,
    runtime::{
        WatchStreamExt,
        watcher::{self, watcher},
    },
};
use portolan_core::{Error, Result, Secret};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::{
    sync::{OnceCell, watch},
    task::JoinSet,
    time::timeout,
};

use crate::{
    api_client::ApiClient,
    error::ApiError,
    events, managed_fields,
    name::{self, DeploymentKey},
    object_cache::{DependentKind, HasMetadata, ObjectCache, ObjectTable},
    watch_backoff::WatchBackoff,
};

/// How long a watch may stay open before it is opened again: a dead connection is noticed only by that.
const WATCH_SECONDS: u32 = 60;

/// Called with the deployment that changed; `None` is the whole namespace.
pub(crate) type OnChange = Arc<dyn Fn(Option<&DeploymentKey>) + Send + Sync>;

/// A namespace of a cluster.
pub(crate) struct Namespace {
    pub(crate) client: ApiClient,
    /// The field manager of applied objects.
    pub(crate) manager: String,
    /// Whether this program runs in the cluster of the namespace.
    pub(crate) is_in_cluster: bool,
    /// Held while an object is written that all deployments of the namespace share.
    pub(crate) shared_write_lock: tokio::sync::Mutex<()>,
    objects: Mutex<ObjectCache>,
    synced: watch::Sender<bool>,
    /// The bridge tokens of the Secrets at the first use, by the name of the Secret.
    pub(crate) bridge_tokens: OnceCell<BTreeMap<String, Secret>>,
    /// The errors of the watches that are broken, by kind.
    watch_errors: Mutex<BTreeMap<&'static str, String>>,
}

impl Namespace {
    pub(crate) fn new(client: ApiClient, manager: String, is_in_cluster: bool) -> Self {
        Self {
            client,
            manager,
            is_in_cluster,
            shared_write_lock: tokio::sync::Mutex::new(()),
            objects: Mutex::default(),
            synced: watch::Sender::new(false),
            bridge_tokens: OnceCell::new(),
            watch_errors: Mutex::default(),
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.client.namespace
    }

    /// Locks the cached objects. Never held across an await.
    pub(crate) fn objects(&self) -> MutexGuard<'_, ObjectCache> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Patches annotations or replicas of a live Deployment, as the operations field manager.
    ///
    /// # Errors
    ///
    /// The error of the API call; `Conflict` if `change` names a resource version that is outdated.
    pub(crate) async fn patch_deployment(
        &self,
        live: &Deployment,
        change: &Value,
    ) -> std::result::Result<(), ApiError> {
        let name = live.metadata.name.as_deref().unwrap_or_default();
        let api = self.client.api::<Deployment>();
        let params = PatchParams {
            field_manager: Some(managed_fields::operations_manager(&self.manager)),
            ..PatchParams::default()
        };
        let change = Patch::Merge(change);
        let patched = self.client.call(|| api.patch(name, &params, &change)).await?;
        self.objects().deployments.insert(patched);
        Ok(())
    }

    /// Watches all managed objects, in `tasks`.
    pub(crate) fn watch(self: &Arc<Self>, tasks: &mut JoinSet<()>, on_change: &OnChange) {
        let managed = watcher::Config::default()
            .labels(&name::managed(&self.manager))
            .timeout(WATCH_SECONDS);
        let (namespace, notify) = (self.clone(), on_change.clone());
        tasks.spawn(self.clone().run_watch::<Deployment>(
            "deployments",
            self.client.api(),
            managed.clone(),
            move |event| {
                let changed = namespace.objects().deployments.apply_event(without_update_sets(event));
                namespace.notify_changed(&notify, changed.iter().map(|object| object.metadata()));
            },
        ));
        let (namespace, notify) = (self.clone(), on_change.clone());
        tasks.spawn(
            self.clone()
                .run_watch::<Pod>("pods", self.client.api(), managed.clone(), move |event| {
                    let changed = namespace.objects().pods.apply_event(without_update_sets(event));
                    namespace.notify_changed(&notify, changed.iter().map(|object| object.metadata()));
                }),
        );
        self.watch_dependents::<Service>(tasks, "services", DependentKind::Service, &managed, on_change);
        self.watch_dependents::<SecretObject>(tasks, "secrets", DependentKind::Secret, &managed, on_change);
        self.watch_dependents::<NetworkPolicy>(tasks, "networkpolicies", DependentKind::Policy, &managed, on_change);
        self.watch_warnings(tasks, on_change);
    }

    /// Watches the warning events of pods.
    fn watch_warnings(self: &Arc<Self>, tasks: &mut JoinSet<()>, on_change: &OnChange) {
        let warnings = watcher::Config::default()
            .fields("type=Warning,involvedObject.kind=Pod")
            .timeout(WATCH_SECONDS);
        let (namespace, notify) = (self.clone(), on_change.clone());
        tasks.spawn(
            self.clone()
                .run_watch::<Event>("events", self.client.api(), warnings, move |event| {
                    let (watcher::Event::Apply(event) | watcher::Event::InitApply(event)) = event else {
                        return;
                    };
                    let pod = {
                        let mut objects = namespace.objects();
                        objects
                            .record_warning(event)
                            .and_then(|pod| objects.pods.get(&pod).cloned())
                    };
                    namespace.notify_changed(&notify, pod.iter().map(|pod| pod.metadata()));
                }),
        );
    }

    /// Watches the metadata of one kind of dependents.
    fn watch_dependents<K>(
        self: &Arc<Self>,
        tasks: &mut JoinSet<()>,
        plural: &'static str,
        kind: DependentKind,
        config: &watcher::Config,
        on_change: &OnChange,
    ) where
        K: Resource<Scope = kube::core::NamespaceResourceScope, DynamicType = ()>
            + Clone
            + fmt::Debug
            + Send
            + Sync
            + 'static,
    {
        self.objects().dependents.insert(kind, ObjectTable::default());
        let (namespace, notify) = (self.clone(), on_change.clone());
        let api: Api<PartialObjectMeta<K>> = self.client.api();
        tasks.spawn(self.clone().run_watch(plural, api, config.clone(), move |event| {
            let changed = {
                let mut objects = namespace.objects();
                objects.dependents.entry(kind).or_default().apply_event(metadata(event))
            };
            namespace.notify_changed(&notify, changed.iter().map(|object| &**object));
        }));
    }

    async fn run_watch<K>(
        self: Arc<Self>,
        plural: &'static str,
        api: Api<K>,
        config: watcher::Config,
        mut handle: impl FnMut(watcher::Event<K>) + Send + 'static,
    ) where
        K: Resource + Clone + DeserializeOwned + fmt::Debug + Send + 'static,
    {
        let mut events = pin!(watcher(api, config).backoff(WatchBackoff::new()));
        while let Some(event) = events.next().await {
            match event {
                Ok(event) => {
                    self.lock_watch_errors().remove(plural);
                    let is_listed = matches!(event, watcher::Event::InitDone);
                    handle(event);
                    if is_listed {
                        self.update_synced();
                    }
                }
                Err(error) => self.record_watch_error(plural, error),
            }
        }
    }

    fn record_watch_error(&self, plural: &'static str, error: watcher::Error) {
        let error = match error {
            watcher::Error::InitialListFailed(error)
            | watcher::Error::WatchStartFailed(error)
            | watcher::Error::WatchFailed(error) => ApiError::classify(error, &self.client.cluster_name),
            // The history of the API server is too short: the watcher lists again.
            watcher::Error::WatchError(status) if matches!(status.code, 410 | 504) => return,
            watcher::Error::WatchError(status) => {
                ApiError::classify(kube::Error::Api(status), &self.client.cluster_name)
            }
            watcher::Error::NoResourceVersion => return,
        };
        let text = error.to_string();
        let old = self.lock_watch_errors().insert(plural, text.clone());
        if old.as_ref() != Some(&text) {
            match error {
                ApiError::Forbidden(_) => events::forbidden(self.name(), &text),
                _ => events::watch_broke(self.name(), plural, &text),
            }
        }
    }

    fn update_synced(&self) {
        if self.objects().is_synced() {
            self.synced.send_if_modified(|synced| !std::mem::replace(synced, true));
        }
    }

    fn notify_changed<'a>(&self, on_change: &OnChange, changed: impl Iterator<Item = &'a ObjectMeta>) {
        let mut keys: Vec<_> = changed
            .map(|meta| DeploymentKey::of_object(meta, &self.manager))
            .collect();
        keys.sort_unstable();
        keys.dedup();
        for key in &keys {
            on_change(key.as_ref());
        }
    }

    /// Returns whether all kinds were listed once.
    pub(crate) fn is_synced(&self) -> bool {
        *self.synced.borrow()
    }

    /// Waits until all kinds were listed once.
    pub(crate) async fn wait_until_synced(&self) {
        let mut synced = self.synced.subscribe();
        // The sender lives in `self`.
        let _ = synced.wait_for(|synced| *synced).await;
    }

    /// Waits at most `limit` until all kinds were listed once.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] with the error of the watch that is broken.
    pub(crate) async fn wait_synced_within(&self, limit: Duration) -> Result<()> {
        if timeout(limit, self.wait_until_synced()).await.is_ok() {
            return Ok(());
        }
        let why = self
            .watch_error()
            .unwrap_or_else(|| ApiError::timed_out(&self.client.cluster_name, limit).to_string());
        Err(Error::unavailable("Kubernetes", why))
    }

    /// Returns the error of a watch that is broken, if there is one.
    pub(crate) fn watch_error(&self) -> Option<String> {
        self.lock_watch_errors().values().next().cloned()
    }

    fn lock_watch_errors(&self) -> MutexGuard<'_, BTreeMap<&'static str, String>> {
        self.watch_errors.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Namespace")
            .field("client", &self.client)
            .field("synced", &self.is_synced())
            .finish_non_exhaustive()
    }
}

/// Drops the field sets of updates, which are never read: they are most of an object.
fn without_update_sets<K: Resource>(event: watcher::Event<K>) -> watcher::Event<K> {
    event.modify(|object| {
        if let Some(fields) = &mut object.meta_mut().managed_fields {
            fields.retain(|entry| entry.operation.as_deref() == Some("Apply"));
        }
    })
}

fn metadata<K>(event: watcher::Event<PartialObjectMeta<K>>) -> watcher::Event<ObjectMeta> {
    match event {
        watcher::Event::Apply(object) => watcher::Event::Apply(object.metadata),
        watcher::Event::Delete(object) => watcher::Event::Delete(object.metadata),
        watcher::Event::Init => watcher::Event::Init,
        watcher::Event::InitApply(object) => watcher::Event::InitApply(object.metadata),
        watcher::Event::InitDone => watcher::Event::InitDone,
    }
}
