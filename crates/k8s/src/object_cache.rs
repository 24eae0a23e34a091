//! The objects of a namespace as its watches report them, read without a call to the API server.

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

use crate::{api_compat, managed_fields, name::DeploymentKey};

/// The kinds of objects that belong to a Deployment. Only their metadata is watched, because Secrets are among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum DependentKind {
    Service,
    Secret,
    Policy,
}

/// The cached objects of a namespace.
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
    /// The names that the current list has reported so far.
    listed: Option<BTreeSet<String>>,
    /// The uids of deleted objects, whose earlier events are ignored.
    deleted_uids: BTreeSet<String>,
    pub(crate) synced: bool,
}

/// A warning event of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PodWarning {
    pub(crate) reason: String,
    pub(crate) message: String,
    pub(crate) at: Option<Timestamp>,
}

/// How many warnings are kept for each pod.
const MAX_WARNINGS_PER_POD: usize = 8;

/// For how many pods warnings are kept. Foreign pods are among them, because events have no labels to select by.
const MAX_WARNED_PODS: usize = 4096;

impl ObjectCache {
    /// Returns the pods of a Deployment, newest first.
    pub(crate) fn pods_of(&self, deployment: &Deployment) -> Vec<Arc<Pod>> {
        let name = deployment.metadata.name.as_deref().unwrap_or_default();
        let selector = api_compat::spec(deployment).and_then(|spec| spec.selector.match_labels.as_ref());
        let is_selected = |pod: &&Arc<Pod>| {
            let labels = pod.metadata.labels.as_ref();
            selector.is_some_and(|selector| {
                selector
                    .iter()
                    .all(|(key, value)| labels.and_then(|l| l.get(key)) == Some(value))
            })
        };
        // Pod names begin with the name of their Deployment.
        let mut pods: Vec<_> = self.pods.with_prefix(name).filter(is_selected).cloned().collect();
        pods.sort_by_key(|pod| std::cmp::Reverse(pod.metadata.creation_timestamp.as_ref().map(|time| time.0)));
        pods
    }

    /// Returns the Deployment of `key`, whatever its name is.
    pub(crate) fn deployment_of(&self, key: &DeploymentKey, manager: &str) -> Option<&Arc<Deployment>> {
        let selector = key.selector(manager);
        let is_selected = |deployment: &&Arc<Deployment>| {
            let labels = deployment.metadata.labels.as_ref();
            labels.is_some_and(|labels| selector.iter().all(|(key, value)| labels.get(key) == Some(value)))
        };
        self.deployments.iter().find(is_selected)
    }

    /// Returns the last warnings of a pod, oldest first.
    pub(crate) fn warnings_of(&self, pod: &str) -> Vec<PodWarning> {
        self.warnings.get(pod).into_iter().flatten().cloned().collect()
    }

    /// Records a warning event, and returns the name of its pod.
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

    /// Returns whether an object exists and `manager` still owns all of `wanted`.
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

    /// Returns whether all kinds were listed once.
    pub(crate) fn is_synced(&self) -> bool {
        self.deployments.synced && self.pods.synced && self.dependents.values().all(|dependent| dependent.synced)
    }
}

/// An object with metadata.
pub(crate) trait HasMetadata {
    fn metadata(&self) -> &ObjectMeta;
}

impl HasMetadata for Deployment {
    fn metadata(&self) -> &ObjectMeta {
        &self.metadata
    }
}

impl HasMetadata for Pod {
    fn metadata(&self) -> &ObjectMeta {
        &self.metadata
    }
}

impl HasMetadata for ObjectMeta {
    fn metadata(&self) -> &ObjectMeta {
        self
    }
}

impl<K: HasMetadata> ObjectTable<K> {
    /// Applies a watch event, and returns the objects that it changed; for deleted ones, their last state.
    pub(crate) fn apply_event(&mut self, event: watcher::Event<K>) -> Vec<Arc<K>> {
        match event {
            watcher::Event::Init => {
                self.listed = Some(BTreeSet::new());
                Vec::new()
            }
            watcher::Event::Apply(object) => self.insert(object).into_iter().collect(),
            watcher::Event::InitApply(object) => {
                let name = object.metadata().name.clone().unwrap_or_default();
                if let Some(listed) = &mut self.listed {
                    listed.insert(name);
                }
                self.insert(object).into_iter().collect()
            }
            watcher::Event::Delete(object) => {
                let name = object.metadata().name.clone().unwrap_or_default();
                // The name may belong to a new object already.
                let same = self
                    .objects
                    .get(&name)
                    .is_some_and(|old| old.metadata().uid == object.metadata().uid);
                if same {
                    self.objects.remove(&name);
                }
                self.deleted_uids
                    .remove(object.metadata().uid.as_deref().unwrap_or_default());
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

    /// Inserts the state of an object, unless a later state is cached: the response to a write may arrive before the watch
    /// reports an earlier state.
    pub(crate) fn insert(&mut self, object: K) -> Option<Arc<K>> {
        let name = object.metadata().name.clone().unwrap_or_default();
        let is_outdated = |old: &Arc<K>| {
            old.metadata().uid == object.metadata().uid
                && revision(old.metadata())
                    .zip(revision(object.metadata()))
                    .is_some_and(|(old, new)| new < old)
        };
        let is_deleted = object
            .metadata()
            .uid
            .as_ref()
            .is_some_and(|uid| self.deleted_uids.contains(uid));
        if is_deleted || self.objects.get(&name).is_some_and(is_outdated) {
            return None;
        }
        let object = Arc::new(object);
        self.objects.insert(name, object.clone());
        Some(object)
    }

    /// Removes a deleted object, and ignores its later events.
    pub(crate) fn remove_deleted(&mut self, name: &str) {
        let removed = self.objects.remove(name);
        self.deleted_uids
            .extend(removed.and_then(|object| object.metadata().uid.clone()));
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

/// Parses the resource version. They are growing numbers; one that is not is never compared.
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
    fn list_removes_unlisted_objects() {
        let mut table = ObjectTable::default();
        table.apply_event(watcher::Event::Apply(meta("a", "1", "1")));
        table.apply_event(watcher::Event::Apply(meta("b", "2", "2")));
        table.apply_event(watcher::Event::Init);
        table.apply_event(watcher::Event::InitApply(meta("b", "2", "2")));
        let removed = table.apply_event(watcher::Event::InitDone);
        assert_eq!(names(&table), ["b"]);
        assert_eq!(removed.len(), 1, "the removed object is returned");
        assert!(table.synced);
    }

    #[test]
    fn outdated_events_are_ignored() {
        let mut table = ObjectTable::default();
        table.insert(meta("a", "1", "12"));
        assert!(table.apply_event(watcher::Event::Apply(meta("a", "1", "9"))).is_empty());
        assert_eq!(table.get("a").and_then(|a| a.resource_version.as_deref()), Some("12"));
        table.apply_event(watcher::Event::Apply(meta("a", "2", "3")));
        assert_eq!(
            table.get("a").and_then(|a| a.uid.as_deref()),
            Some("2"),
            "a new object of the same name"
        );
    }

    #[test]
    fn deleted_objects_stay_deleted() {
        let mut table = ObjectTable::default();
        table.insert(meta("a", "1", "1"));
        table.remove_deleted("a");
        table.apply_event(watcher::Event::Apply(meta("a", "1", "2")));
        assert_eq!(names(&table), [""; 0]);
        table.insert(meta("a", "2", "3"));
        table.apply_event(watcher::Event::Delete(meta("a", "1", "2")));
        assert_eq!(names(&table), ["a"], "the new object stays");
    }

    #[test]
    fn pod_warnings_are_bounded() {
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
