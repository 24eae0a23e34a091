//! A namespace that deployments run in: its cluster, and what its watches told of it.

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
    core::PartialObjectMeta,
    runtime::{
        WatchStreamExt,
        watcher::{self, watcher},
    },
};
use portolan_core::{Error, Result, Secret};
use serde::de::DeserializeOwned;
use tokio::{
    sync::{OnceCell, watch},
    task::JoinSet,
    time::timeout,
};

use crate::{
    api_client::ApiClient,
    backoff::Backoff,
    error::ApiError,
    name::{self, DeploymentKey},
    object_cache::{DependentKind, HasMetadata, ObjectCache, ObjectTable},
};

/// How long a watch may stay silent before it is opened anew: a connection that died without a word shows only so.
const WATCH_SECONDS: u32 = 60;

/// Told which unit something changed for; `None` is all of the namespace.
pub(crate) type OnChange = Arc<dyn Fn(Option<&DeploymentKey>) + Send + Sync>;

/// A namespace.
pub(crate) struct Namespace {
    pub(crate) client: ApiClient,
    /// Who applies our objects.
    pub(crate) manager: String,
    /// Whether this program runs in that cluster.
    pub(crate) is_in_cluster: bool,
    /// Whoever writes what all deployments of the namespace share holds it.
    pub(crate) shared_write_lock: tokio::sync::Mutex<()>,
    objects: Mutex<ObjectCache>,
    synced: watch::Sender<bool>,
    /// The tokens that were in Secrets at first, by the name of the Secret.
    pub(crate) bridge_tokens: OnceCell<BTreeMap<String, Secret>>,
    /// Why watches fail, by kind, while they do.
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

    /// What is in the namespace. Never held across an await.
    pub(crate) fn objects(&self) -> MutexGuard<'_, ObjectCache> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Watches everything of ours from now on, in `tasks`.
    pub(crate) fn watch(self: &Arc<Self>, tasks: &mut JoinSet<()>, on_change: &OnChange) {
        let ours = watcher::Config::default()
            .labels(&name::managed(&self.manager))
            .timeout(WATCH_SECONDS);
        let (namespace, notify) = (self.clone(), on_change.clone());
        tasks.spawn(self.clone().run_watch::<Deployment>(
            "deployments",
            self.client.api(),
            ours.clone(),
            move |event| {
                let changed = namespace.objects().deployments.apply_event(slim(event));
                namespace.notify_changed(&notify, changed.iter().map(|object| HasMetadata::meta(&**object)));
            },
        ));
        let (namespace, notify) = (self.clone(), on_change.clone());
        tasks.spawn(
            self.clone()
                .run_watch::<Pod>("pods", self.client.api(), ours.clone(), move |event| {
                    let changed = namespace.objects().pods.apply_event(slim(event));
                    namespace.notify_changed(&notify, changed.iter().map(|object| HasMetadata::meta(&**object)));
                }),
        );
        self.watch_dependents::<Service>(tasks, "services", DependentKind::Service, &ours, on_change);
        self.watch_dependents::<SecretObject>(tasks, "secrets", DependentKind::Secret, &ours, on_change);
        self.watch_dependents::<NetworkPolicy>(tasks, "networkpolicies", DependentKind::Policy, &ours, on_change);
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
                    namespace.notify_changed(&notify, pod.iter().map(|pod| HasMetadata::meta(&**pod)));
                }),
        );
    }

    /// Watches the metadata of one kind alone.
    fn watch_dependents<K>(
        self: &Arc<Self>,
        tasks: &mut JoinSet<()>,
        kind: &'static str,
        dependent: DependentKind,
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
        self.objects().dependents.insert(dependent, ObjectTable::default());
        let (namespace, notify) = (self.clone(), on_change.clone());
        let api: Api<PartialObjectMeta<K>> = self.client.api();
        tasks.spawn(self.clone().run_watch(kind, api, config.clone(), move |event| {
            let changed = {
                let mut objects = namespace.objects();
                objects
                    .dependents
                    .entry(dependent)
                    .or_default()
                    .apply_event(metadata(event))
            };
            namespace.notify_changed(&notify, changed.iter().map(|object| &**object));
        }));
    }

    async fn run_watch<K>(
        self: Arc<Self>,
        kind: &'static str,
        api: Api<K>,
        config: watcher::Config,
        mut take: impl FnMut(watcher::Event<K>) + Send + 'static,
    ) where
        K: Resource + Clone + DeserializeOwned + fmt::Debug + Send + 'static,
    {
        let backoff = Backoff::new(Duration::from_millis(250), Duration::from_secs(5));
        let mut events = pin!(watcher(api, config).backoff(backoff));
        while let Some(event) = events.next().await {
            match event {
                Ok(event) => {
                    self.lock_watch_errors().remove(kind);
                    let listed = matches!(event, watcher::Event::InitDone);
                    take(event);
                    if listed {
                        self.update_synced();
                    }
                }
                Err(error) => self.record_watch_error(kind, error),
            }
        }
    }

    fn record_watch_error(&self, kind: &'static str, error: watcher::Error) {
        let error = match error {
            watcher::Error::InitialListFailed(error)
            | watcher::Error::WatchStartFailed(error)
            | watcher::Error::WatchFailed(error) => ApiError::classify(error, &self.client.cluster_name),
            // The server has forgotten what happened since: everything is listed anew.
            watcher::Error::WatchError(status) if matches!(status.code, 410 | 504) => return,
            watcher::Error::WatchError(status) => {
                ApiError::classify(kube::Error::Api(status), &self.client.cluster_name)
            }
            watcher::Error::NoResourceVersion => return,
        };
        let text = error.to_string();
        let old = self.lock_watch_errors().insert(kind, text.clone());
        if old.as_ref() != Some(&text) {
            tracing::warn!(namespace = %self.client.namespace, kind, error = %text, "watch interrupted");
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

    /// Whether everything has been listed once.
    pub(crate) fn is_synced(&self) -> bool {
        *self.synced.borrow()
    }

    /// Waits until everything has been listed once.
    pub(crate) async fn wait_until_synced(&self) {
        let mut synced = self.synced.subscribe();
        // The sender lives in `self`.
        let _ = synced.wait_for(|synced| *synced).await;
    }

    /// The same, with an end, and why it did not come to it.
    pub(crate) async fn wait_synced_within(&self, limit: Duration) -> Result<()> {
        if timeout(limit, self.wait_until_synced()).await.is_ok() {
            return Ok(());
        }
        let why = self
            .watch_error()
            .unwrap_or_else(|| ApiError::timed_out(&self.client.cluster_name, limit).to_string());
        Err(Error::Unavailable {
            backend: "Kubernetes",
            source: why.into(),
        })
    }

    /// Why a watch fails now, if one does.
    pub(crate) fn watch_error(&self) -> Option<String> {
        self.lock_watch_errors().values().next().cloned()
    }

    fn lock_watch_errors(&self) -> MutexGuard<'_, BTreeMap<&'static str, String>> {
        self.watch_errors.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target")
            .field("cluster", &self.client)
            .field("complete", &self.is_synced())
            .finish_non_exhaustive()
    }
}

/// Drops what is not read: the fields that other managers own are most of an object.
fn slim<K: Resource>(event: watcher::Event<K>) -> watcher::Event<K> {
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
