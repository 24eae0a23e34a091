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
    api_client::Cluster,
    backoff::Pace,
    error::Fault,
    name::{self, Unit},
    object_cache::{Meta, Part, Table, View},
};

/// How long a watch may stay silent before it is opened anew: a connection that died without a word shows only so.
const WATCH_SECONDS: u32 = 60;

/// Told which unit something changed for; `None` is all of the namespace.
pub(crate) type OnChange = Arc<dyn Fn(Option<&Unit>) + Send + Sync>;

/// A namespace.
pub(crate) struct Target {
    pub(crate) cluster: Cluster,
    /// Who applies our objects.
    pub(crate) manager: String,
    /// Whether this program runs in that cluster.
    pub(crate) is_around: bool,
    /// Whoever writes what all deployments of the namespace share holds it.
    pub(crate) constants: tokio::sync::Mutex<()>,
    view: Mutex<View>,
    complete: watch::Sender<bool>,
    /// The tokens that were in Secrets at first, by the name of the Secret.
    pub(crate) tokens: OnceCell<BTreeMap<String, Secret>>,
    /// Why watches fail, by kind, while they do.
    faults: Mutex<BTreeMap<&'static str, String>>,
}

impl Target {
    pub(crate) fn new(cluster: Cluster, manager: String, is_around: bool) -> Self {
        Self {
            cluster,
            manager,
            is_around,
            constants: tokio::sync::Mutex::new(()),
            view: Mutex::default(),
            complete: watch::Sender::new(false),
            tokens: OnceCell::new(),
            faults: Mutex::default(),
        }
    }

    /// What is in the namespace. Never held across an await.
    pub(crate) fn view(&self) -> MutexGuard<'_, View> {
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Watches everything of ours from now on, in `tasks`.
    pub(crate) fn watch(self: &Arc<Self>, tasks: &mut JoinSet<()>, on_change: &OnChange) {
        let ours = watcher::Config::default()
            .labels(&name::managed(&self.manager))
            .timeout(WATCH_SECONDS);
        let (target, told) = (self.clone(), on_change.clone());
        tasks.spawn(
            self.clone()
                .follow::<Deployment>("deployments", self.cluster.api(), ours.clone(), move |event| {
                    let changed = target.view().deployments.take(slim(event));
                    target.tell(&told, changed.iter().map(|object| Meta::meta(&**object)));
                }),
        );
        let (target, told) = (self.clone(), on_change.clone());
        tasks.spawn(
            self.clone()
                .follow::<Pod>("pods", self.cluster.api(), ours.clone(), move |event| {
                    let changed = target.view().pods.take(slim(event));
                    target.tell(&told, changed.iter().map(|object| Meta::meta(&**object)));
                }),
        );
        self.watch_part::<Service>(tasks, "services", Part::Service, &ours, on_change);
        self.watch_part::<SecretObject>(tasks, "secrets", Part::Secret, &ours, on_change);
        self.watch_part::<NetworkPolicy>(tasks, "networkpolicies", Part::Policy, &ours, on_change);
        let warnings = watcher::Config::default()
            .fields("type=Warning,involvedObject.kind=Pod")
            .timeout(WATCH_SECONDS);
        let (target, told) = (self.clone(), on_change.clone());
        tasks.spawn(
            self.clone()
                .follow::<Event>("events", self.cluster.api(), warnings, move |event| {
                    let (watcher::Event::Apply(event) | watcher::Event::InitApply(event)) = event else {
                        return;
                    };
                    let pod = {
                        let mut view = target.view();
                        view.warn(event).and_then(|pod| view.pods.get(&pod).cloned())
                    };
                    target.tell(&told, pod.iter().map(|pod| Meta::meta(&**pod)));
                }),
        );
    }

    /// Watches the metadata of one kind alone.
    fn watch_part<K>(
        self: &Arc<Self>,
        tasks: &mut JoinSet<()>,
        kind: &'static str,
        part: Part,
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
        self.view().parts.insert(part, Table::default());
        let (target, told) = (self.clone(), on_change.clone());
        let api: Api<PartialObjectMeta<K>> = self.cluster.api();
        tasks.spawn(self.clone().follow(kind, api, config.clone(), move |event| {
            let changed = {
                let mut view = target.view();
                view.parts.entry(part).or_default().take(metadata(event))
            };
            target.tell(&told, changed.iter().map(|object| &**object));
        }));
    }

    async fn follow<K>(
        self: Arc<Self>,
        kind: &'static str,
        api: Api<K>,
        config: watcher::Config,
        mut take: impl FnMut(watcher::Event<K>) + Send + 'static,
    ) where
        K: Resource + Clone + DeserializeOwned + fmt::Debug + Send + 'static,
    {
        let pace = Pace::new(Duration::from_millis(250), Duration::from_secs(5));
        let mut events = pin!(watcher(api, config).backoff(pace));
        while let Some(event) = events.next().await {
            match event {
                Ok(event) => {
                    self.lock_faults().remove(kind);
                    let listed = matches!(event, watcher::Event::InitDone);
                    take(event);
                    if listed {
                        self.check_complete();
                    }
                }
                Err(error) => self.note(kind, error),
            }
        }
    }

    fn note(&self, kind: &'static str, error: watcher::Error) {
        let fault = match error {
            watcher::Error::InitialListFailed(error)
            | watcher::Error::WatchStartFailed(error)
            | watcher::Error::WatchFailed(error) => Fault::of(error, &self.cluster.title),
            // The server has forgotten what happened since: everything is listed anew.
            watcher::Error::WatchError(status) if matches!(status.code, 410 | 504) => return,
            watcher::Error::WatchError(status) => Fault::of(kube::Error::Api(status), &self.cluster.title),
            watcher::Error::NoResourceVersion => return,
        };
        let text = fault.to_string();
        let old = self.lock_faults().insert(kind, text.clone());
        if old.as_ref() != Some(&text) {
            tracing::warn!(namespace = %self.cluster.namespace, kind, fault = %text, "watch interrupted");
        }
    }

    fn check_complete(&self) {
        if self.view().is_complete() {
            self.complete
                .send_if_modified(|complete| !std::mem::replace(complete, true));
        }
    }

    fn tell<'a>(&self, on_change: &OnChange, changed: impl Iterator<Item = &'a ObjectMeta>) {
        let mut units: Vec<_> = changed.map(|meta| Unit::of_object(meta, &self.manager)).collect();
        units.sort_unstable();
        units.dedup();
        for unit in &units {
            on_change(unit.as_ref());
        }
    }

    /// Whether everything has been listed once.
    pub(crate) fn is_complete(&self) -> bool {
        *self.complete.borrow()
    }

    /// Waits until everything has been listed once.
    pub(crate) async fn completed(&self) {
        let mut complete = self.complete.subscribe();
        // The sender lives in `self`.
        let _ = complete.wait_for(|complete| *complete).await;
    }

    /// The same, with an end, and why it did not come to it.
    pub(crate) async fn completed_within(&self, limit: Duration) -> Result<()> {
        if timeout(limit, self.completed()).await.is_ok() {
            return Ok(());
        }
        let why = self
            .fault()
            .unwrap_or_else(|| Fault::late(&self.cluster.title, limit).to_string());
        Err(Error::Unavailable {
            backend: "Kubernetes",
            source: why.into(),
        })
    }

    /// Why a watch fails now, if one does.
    pub(crate) fn fault(&self) -> Option<String> {
        self.lock_faults().values().next().cloned()
    }

    fn lock_faults(&self) -> MutexGuard<'_, BTreeMap<&'static str, String>> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target")
            .field("cluster", &self.cluster)
            .field("complete", &self.is_complete())
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
