//! What is in a namespace, as its watches tell it. Read without a call to the API server.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use jiff::Timestamp;
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{Event, Pod},
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::runtime::watcher;
use serde_json::Value;

use crate::{managed_fields, name::DeploymentKey, render::api_compat};

/// The kinds whose metadata is watched, beside deployments and pods. Their contents stay in the cluster: secrets are
/// among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum DependentKind {
    Service,
    Secret,
    Policy,
}

/// A namespace.
#[derive(Default)]
pub(crate) struct ObjectCache {
    pub(crate) deployments: ObjectTable<Deployment>,
    pub(crate) pods: ObjectTable<Pod>,
    pub(crate) dependents: BTreeMap<DependentKind, ObjectTable<ObjectMeta>>,
    warnings: BTreeMap<String, VecDeque<PodWarning>>,
}

/// The objects of one kind, by name.
pub(crate) struct ObjectTable<K> {
    objects: BTreeMap<String, Arc<K>>,
    /// The names that a list under way has told so far.
    listed: Option<BTreeSet<String>>,
    /// Those that we deleted, by their uid: what the watch tells of their time before is over.
    deleted_uids: BTreeSet<String>,
    pub(crate) synced: bool,
}

/// Something that did not work for a pod, as the cluster tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PodWarning {
    pub(crate) reason: String,
    pub(crate) message: String,
    pub(crate) at: Option<Timestamp>,
}

/// How many warnings of one pod are kept.
const MAX_WARNINGS_PER_POD: usize = 8;

/// How many pods' warnings are kept. Pods of strangers are among them: an event has no labels to select by.
const MAX_WARNED_PODS: usize = 4096;

impl ObjectCache {
    /// The pods of a deployment, newest first.
    pub(crate) fn pods_of(&self, deployment: &Deployment) -> Vec<Arc<Pod>> {
        let name = deployment.metadata.name.as_deref().unwrap_or_default();
        let selector = api_compat::spec(deployment).and_then(|spec| spec.selector.match_labels.as_ref());
        let chosen = |pod: &&Arc<Pod>| {
            let labels = pod.metadata.labels.as_ref();
            selector.is_some_and(|selector| {
                selector
                    .iter()
                    .all(|(key, value)| labels.and_then(|l| l.get(key)) == Some(value))
            })
        };
        // The names of its pods begin with its own.
        let mut pods: Vec<_> = self.pods.with_prefix(name).filter(chosen).cloned().collect();
        pods.sort_by_key(|pod| std::cmp::Reverse(pod.metadata.creation_timestamp.as_ref().map(|time| time.0)));
        pods
    }

    /// The deployment of a unit, under whatever name it was made.
    pub(crate) fn deployment_of(&self, key: &DeploymentKey, manager: &str) -> Option<&Arc<Deployment>> {
        let selector = key.selector(manager);
        let is_it = |deployment: &&Arc<Deployment>| {
            let labels = deployment.metadata.labels.as_ref();
            labels.is_some_and(|labels| selector.iter().all(|(key, value)| labels.get(key) == Some(value)))
        };
        self.deployments.iter().find(is_it)
    }

    /// The last warnings about a pod, oldest first.
    pub(crate) fn warnings_of(&self, pod: &str) -> Vec<PodWarning> {
        self.warnings.get(pod).into_iter().flatten().cloned().collect()
    }

    /// Takes an event in, and gives the name of the pod that it is about.
    pub(crate) fn record_warning(&mut self, event: Event) -> Option<String> {
        let pod = event.involved_object.name?;
        let warning = PodWarning {
            reason: event.reason.unwrap_or_default(),
            message: event.message.unwrap_or_default(),
            at: event
                .last_timestamp
                .map(|time| time.0)
                .or_else(|| event.event_time.map(|time| time.0))
                .or_else(|| event.metadata.creation_timestamp.map(|time| time.0)),
        };
        if self.warnings.len() >= MAX_WARNED_PODS && !self.warnings.contains_key(&pod) {
            let pods = &self.pods;
            self.warnings.retain(|name, _| pods.get(name).is_some());
        }
        let warnings = self.warnings.entry(pod.clone()).or_default();
        warnings.retain(|old| old.reason != warning.reason || old.message != warning.message);
        if warnings.len() >= MAX_WARNINGS_PER_POD {
            warnings.pop_front();
        }
        warnings.push_back(warning);
        Some(pod)
    }

    /// Whether a part of ours is there, and all of `wanted` is still ours.
    pub(crate) fn owns_dependent(
        &self,
        dependent: DependentKind,
        name: &str,
        wanted: &Value,
        manager: &str,
        accepted: Option<&Value>,
    ) -> bool {
        let Some(table) = self.dependents.get(&dependent) else {
            return true;
        };
        let fields = table
            .get(name)
            .map(|object| managed_fields::applied_by(object, manager));
        fields.is_some_and(|fields| managed_fields::covers(fields, wanted) || accepted == Some(fields))
    }

    /// Whether everything has been listed once.
    pub(crate) fn is_synced(&self) -> bool {
        self.deployments.synced && self.pods.synced && self.dependents.values().all(|dependent| dependent.synced)
    }
}

/// Something with metadata.
pub(crate) trait HasMetadata {
    fn meta(&self) -> &ObjectMeta;
}

impl HasMetadata for Deployment {
    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }
}

impl HasMetadata for Pod {
    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }
}

impl HasMetadata for ObjectMeta {
    fn meta(&self) -> &ObjectMeta {
        self
    }
}

impl<K: HasMetadata> ObjectTable<K> {
    /// Takes an event in, and gives the objects that it tells of: as they are, or as they were last.
    pub(crate) fn apply_event(&mut self, event: watcher::Event<K>) -> Vec<Arc<K>> {
        match event {
            watcher::Event::Init => {
                self.listed = Some(BTreeSet::new());
                Vec::new()
            }
            watcher::Event::Apply(object) => self.insert(object).into_iter().collect(),
            watcher::Event::InitApply(object) => {
                let name = object.meta().name.clone().unwrap_or_default();
                if let Some(listed) = &mut self.listed {
                    listed.insert(name);
                }
                self.insert(object).into_iter().collect()
            }
            watcher::Event::Delete(object) => {
                let name = object.meta().name.clone().unwrap_or_default();
                // Another one may have been made under the name since.
                let same = self
                    .objects
                    .get(&name)
                    .is_some_and(|old| old.meta().uid == object.meta().uid);
                if same {
                    self.objects.remove(&name);
                }
                self.deleted_uids
                    .remove(object.meta().uid.as_deref().unwrap_or_default());
                vec![Arc::new(object)]
            }
            watcher::Event::InitDone => {
                self.synced = true;
                self.deleted_uids.clear();
                let Some(listed) = self.listed.take() else {
                    return Vec::new();
                };
                let gone: Vec<_> = self
                    .objects
                    .keys()
                    .filter(|name| !listed.contains(*name))
                    .cloned()
                    .collect();
                gone.iter().filter_map(|name| self.objects.remove(name)).collect()
            }
        }
    }

    /// Takes an object in as it is now, unless a later state of it is known: what our own write gave back may come
    /// before the watch tells what was before.
    pub(crate) fn insert(&mut self, object: K) -> Option<Arc<K>> {
        let name = object.meta().name.clone().unwrap_or_default();
        let is_late = |old: &Arc<K>| {
            old.meta().uid == object.meta().uid
                && revision(old.meta())
                    .zip(revision(object.meta()))
                    .is_some_and(|(old, new)| new < old)
        };
        let is_deleted = object
            .meta()
            .uid
            .as_ref()
            .is_some_and(|uid| self.deleted_uids.contains(uid));
        if is_deleted || self.objects.get(&name).is_some_and(is_late) {
            return None;
        }
        let object = Arc::new(object);
        self.objects.insert(name, object.clone());
        Some(object)
    }

    /// Forgets an object that we deleted, and what the watch still tells of it.
    pub(crate) fn remove_deleted(&mut self, name: &str) {
        let gone = self.objects.remove(name);
        self.deleted_uids
            .extend(gone.and_then(|object| object.meta().uid.clone()));
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Arc<K>> {
        self.objects.get(name)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<K>> {
        self.objects.values()
    }

    fn with_prefix<'a>(&'a self, start: &'a str) -> impl Iterator<Item = &'a Arc<K>> {
        self.objects
            .range(start.to_owned()..)
            .take_while(move |(name, _)| name.starts_with(start))
            .map(|(_, object)| object)
    }
}

impl<K> Default for ObjectTable<K> {
    fn default() -> Self {
        Self {
            objects: BTreeMap::new(),
            listed: None,
            deleted_uids: BTreeSet::new(),
            synced: false,
        }
    }
}

/// Revisions of one cluster are numbers that grow. Where one is not, nothing is compared.
fn revision(meta: &ObjectMeta) -> Option<u64> {
    meta.resource_version.as_ref()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meta(name: &str, uid: &str, revision: &str) -> ObjectMeta {
        ObjectMeta {
            name: Some(name.into()),
            uid: Some(uid.into()),
            resource_version: Some(revision.into()),
            ..ObjectMeta::default()
        }
    }

    fn names(table: &ObjectTable<ObjectMeta>) -> Vec<&str> {
        table.iter().filter_map(|meta| meta.name.as_deref()).collect()
    }

    #[test]
    fn a_list_forgets_what_it_does_not_tell() {
        let mut table = ObjectTable::default();
        table.apply_event(watcher::Event::Apply(meta("a", "1", "1")));
        table.apply_event(watcher::Event::Apply(meta("b", "2", "2")));
        table.apply_event(watcher::Event::Init);
        table.apply_event(watcher::Event::InitApply(meta("b", "2", "2")));
        let told = table.apply_event(watcher::Event::InitDone);
        assert_eq!(names(&table), ["b"]);
        assert_eq!(told.len(), 1, "who waits for a is told");
        assert!(table.synced);
    }

    #[test]
    fn what_the_watch_tells_late_does_not_undo_what_we_wrote() {
        let mut table = ObjectTable::default();
        table.insert(meta("a", "1", "12"));
        assert!(table.apply_event(watcher::Event::Apply(meta("a", "1", "9"))).is_empty());
        assert_eq!(table.get("a").and_then(|a| a.resource_version.as_deref()), Some("12"));
        table.apply_event(watcher::Event::Apply(meta("a", "2", "3")));
        assert_eq!(
            table.get("a").and_then(|a| a.uid.as_deref()),
            Some("2"),
            "another one under the name"
        );
    }

    #[test]
    fn what_we_deleted_does_not_come_back_by_a_late_event() {
        let mut table = ObjectTable::default();
        table.insert(meta("a", "1", "1"));
        table.remove_deleted("a");
        table.apply_event(watcher::Event::Apply(meta("a", "1", "2")));
        assert_eq!(names(&table), [""; 0]);
        table.insert(meta("a", "2", "3"));
        table.apply_event(watcher::Event::Delete(meta("a", "1", "2")));
        assert_eq!(names(&table), ["a"], "the one that was made anew stays");
    }

    #[test]
    fn warnings_of_a_pod_are_few_and_the_last_ones() {
        let mut cache = ObjectCache::default();
        for n in 0..20 {
            let event = serde_json::json!({
                "metadata": {}, "involvedObject": { "name": "p" }, "reason": "R", "message": format!("m{n}"),
            });
            cache.record_warning(serde_json::from_value(event).expect("an event"));
        }
        let warnings = cache.warnings_of("p");
        assert_eq!(warnings.len(), MAX_WARNINGS_PER_POD);
        assert_eq!(warnings.last().map(|warning| warning.message.as_str()), Some("m19"));
    }
}
