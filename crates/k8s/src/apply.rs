//! Bringing what the cluster has to what a plan says, by server-side apply, and nothing where nothing differs.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::{
        apps::v1::Deployment,
        core::v1::{Secret, Service},
        networking::v1::NetworkPolicy,
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{
    Resource,
    api::{DeleteParams, Patch, PatchParams, Preconditions},
};
use portolan_core::{Failure, FailureKind};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{
    annotations,
    error::ApiError,
    managed_fields,
    name::{self, DeploymentKey},
    namespace::Namespace,
    object_cache::{DependentKind, ObjectCache},
    plan::{DependentObject, DependentPlan, DeploymentPlan},
    render::api_compat,
};

/// What differs.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct ApplyDiff {
    /// The parts to write, by their place in the plan.
    pub(crate) dependents: Vec<usize>,
    /// Whether the Deployment is written.
    pub(crate) deployment: bool,
    /// Whether the Deployment that there is has to go first: its selector cannot be changed.
    pub(crate) replace: bool,
    /// Whether the Deployment that there is is going: until it has gone, nothing can be written.
    pub(crate) wait: bool,
}

/// Sets of fields that stay as they are although they do not cover what is wanted: a cluster that changes our objects as
/// it takes them in would else be written to for ever.
pub(crate) type AcceptedFields = BTreeMap<String, Value>;

impl ApplyDiff {
    /// What differs between `plan` and what the view has.
    pub(crate) fn of(objects: &ObjectCache, plan: &DeploymentPlan, manager: &str, accepted: &AcceptedFields) -> Self {
        let mut diff = Self::default();
        let live = objects.deployments.get(&plan.name);
        if let Some(live) = live {
            diff.wait = live.metadata.deletion_timestamp.is_some();
            diff.replace = !diff.wait && selector(live) != selector(&plan.rendered.deployment);
        }
        let changed = live.is_none_or(|live| annotations::digest(&live.metadata) != Some(&plan.rendered.digest));
        diff.deployment =
            changed || diff.replace || live.is_none_or(|live| !is_unchanged(live, plan, manager, accepted));
        let is_missing = |(_, dependent): &(usize, &DependentPlan)| {
            let drifted = || {
                !objects.owns_dependent(
                    dependent.dependent,
                    &dependent.name,
                    &dependent.wanted,
                    manager,
                    accepted.get(&dependent.name),
                )
            };
            (changed && !dependent.is_constant()) || drifted()
        };
        diff.dependents = plan
            .dependents
            .iter()
            .enumerate()
            .filter(is_missing)
            .map(|(place, _)| place)
            .collect();
        diff
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.dependents.is_empty() && !self.deployment
    }
}

fn is_unchanged(live: &Deployment, plan: &DeploymentPlan, manager: &str, accepted: &AcceptedFields) -> bool {
    let fields = managed_fields::applied_by(&live.metadata, manager);
    let asleep = crate::status::wanted_replicas(live) == 0;
    managed_fields::covers(fields, &plan.wanted(asleep)) || accepted.get(&plan.name) == Some(fields)
}

fn selector(deployment: &Deployment) -> Option<&BTreeMap<String, String>> {
    api_compat::spec(deployment)?.selector.match_labels.as_ref()
}

/// Writes what `diff` says. The Deployment comes last: when its pods start, all that they need is there.
pub(crate) async fn write(
    namespace: &Namespace,
    plan: &DeploymentPlan,
    diff: &ApplyDiff,
    accepted: &mut AcceptedFields,
) -> Result<(), Failure> {
    if diff.replace {
        replace(namespace, &plan.name)
            .await
            .map_err(|error| error.to_failure())?;
    }
    for dependent in diff.dependents.iter().filter_map(|place| plan.dependents.get(*place)) {
        // Of many that come up together, each has found that it is missing; the first one writes it.
        let _first = if dependent.is_constant() {
            Some(namespace.shared_write_lock.lock().await)
        } else {
            None
        };
        if dependent.is_constant()
            && namespace.objects().owns_dependent(
                dependent.dependent,
                &dependent.name,
                &dependent.wanted,
                &namespace.manager,
                None,
            )
        {
            continue;
        }
        let written = match &dependent.object {
            DependentObject::Service(object) => {
                put(namespace, &dependent.name, &**object, is_known(namespace, dependent)).await?
            }
            DependentObject::Secret(object) => {
                put(namespace, &dependent.name, &**object, is_known(namespace, dependent)).await?
            }
            DependentObject::Policy(object) => {
                put(namespace, &dependent.name, &**object, is_known(namespace, dependent)).await?
            }
        };
        record_accepted(
            accepted,
            &dependent.name,
            &written,
            &dependent.wanted,
            &namespace.manager,
        );
        namespace
            .objects()
            .dependents
            .entry(dependent.dependent)
            .or_default()
            .insert(written);
    }
    if diff.deployment {
        let (known, asleep) = {
            let objects = namespace.objects();
            let live = objects.deployments.get(&plan.name);
            (
                live.is_some(),
                live.is_some_and(|live| crate::status::wanted_replicas(live) == 0),
            )
        };
        let object = plan.deployment(asleep);
        check_owner::<Deployment>(namespace, &plan.name, &plan.rendered.key, known).await?;
        let api = namespace.client.api::<Deployment>();
        let params = PatchParams::apply(&namespace.manager).force();
        let patch = Patch::Apply(&object);
        let written = namespace.client.call(|| api.patch(&plan.name, &params, &patch)).await;
        let written = written.map_err(|error| with_object_name(error, "deployment", &plan.name, namespace))?;
        record_accepted(
            accepted,
            &plan.name,
            &written.metadata,
            &plan.wanted(asleep),
            &namespace.manager,
        );
        namespace.objects().deployments.insert(written);
    }
    Ok(())
}

fn is_known(namespace: &Namespace, dependent: &DependentPlan) -> bool {
    namespace
        .objects()
        .dependents
        .get(&dependent.dependent)
        .is_some_and(|table| table.get(&dependent.name).is_some())
}

/// Writes one object and gives its metadata: what a Secret holds is not sent back.
async fn put<K>(namespace: &Namespace, name: &str, object: &K, known: bool) -> Result<ObjectMeta, Failure>
where
    K: Resource<Scope = kube::core::NamespaceResourceScope, DynamicType = ()> + Clone + std::fmt::Debug,
    K: Serialize + DeserializeOwned,
{
    let key = DeploymentKey::of_object(object.meta(), &namespace.manager);
    match key {
        Some(key) => check_owner::<K>(namespace, name, &key, known).await?,
        None => check_manager::<K>(namespace, name, known).await?,
    }
    let api = namespace.client.api::<K>();
    let params = PatchParams::apply(&namespace.manager).force();
    let patch = Patch::Apply(object);
    let written = namespace
        .client
        .call(|| api.patch_metadata(name, &params, &patch))
        .await;
    let kind = K::kind(&()).to_lowercase();
    Ok(written
        .map_err(|error| with_object_name(error, &kind, name, namespace))?
        .metadata)
}

/// Server-side apply takes over whatever has the name. So before an object is made that is not known as ours, the name
/// is looked up: a stranger's is never touched.
async fn check_owner<K>(namespace: &Namespace, name: &str, key: &DeploymentKey, known: bool) -> Result<(), Failure>
where
    K: Resource<Scope = kube::core::NamespaceResourceScope, DynamicType = ()>
        + Clone
        + std::fmt::Debug
        + DeserializeOwned,
{
    match lookup::<K>(namespace, name, known).await? {
        Some(meta) if DeploymentKey::of_object(&meta, &namespace.manager).as_ref() != Some(key) => {
            Err(foreign_object::<K>(namespace, name))
        }
        _ => Ok(()),
    }
}

async fn check_manager<K>(namespace: &Namespace, name: &str, known: bool) -> Result<(), Failure>
where
    K: Resource<Scope = kube::core::NamespaceResourceScope, DynamicType = ()>
        + Clone
        + std::fmt::Debug
        + DeserializeOwned,
{
    let is_ours = |meta: &ObjectMeta| {
        let label = meta.labels.as_ref().and_then(|labels| labels.get(name::MANAGED_BY));
        label == Some(&namespace.manager)
    };
    match lookup::<K>(namespace, name, known).await? {
        Some(meta) if !is_ours(&meta) => Err(foreign_object::<K>(namespace, name)),
        _ => Ok(()),
    }
}

async fn lookup<K>(namespace: &Namespace, name: &str, known: bool) -> Result<Option<ObjectMeta>, Failure>
where
    K: Resource<Scope = kube::core::NamespaceResourceScope, DynamicType = ()>
        + Clone
        + std::fmt::Debug
        + DeserializeOwned,
{
    if known {
        return Ok(None);
    }
    let api = namespace.client.api::<K>();
    let found = namespace.client.call(|| api.get_metadata_opt(name)).await;
    Ok(found.map_err(|error| error.to_failure())?.map(|object| object.metadata))
}

fn foreign_object<K: Resource<DynamicType = ()>>(namespace: &Namespace, name: &str) -> Failure {
    let kind = K::kind(&()).to_lowercase();
    let namespace = &namespace.client.namespace;
    Failure::new(
        FailureKind::Config,
        format!("the {kind} {namespace}/{name} is there already, and is not ours"),
    )
    .remedy(format!("rename or delete that {kind}; it is left as it is until then"))
}

fn with_object_name(error: ApiError, kind: &str, name: &str, namespace: &Namespace) -> Failure {
    error
        .to_failure()
        .detail(format!("{kind} {}/{name}", namespace.client.namespace))
}

/// Remembers the fields of an object that was just written, if they still do not cover what is wanted.
fn record_accepted(accepted: &mut AcceptedFields, name: &str, written: &ObjectMeta, wanted: &Value, manager: &str) {
    let fields = managed_fields::applied_by(written, manager);
    if managed_fields::covers(fields, wanted) {
        accepted.remove(name);
    } else {
        tracing::debug!(object = name, "the cluster does not keep all that was applied");
        accepted.insert(name.to_owned(), fields.clone());
    }
}

/// Deletes the Deployment that there is, and waits until it has gone with its pods.
async fn replace(namespace: &Namespace, name: &str) -> Result<(), ApiError> {
    let live = namespace.objects().deployments.get(name).cloned();
    let Some(live) = live else { return Ok(()) };
    tracing::info!(
        deployment = name,
        "its selector changed, which cannot be applied: it is made anew"
    );
    let params = DeleteParams::foreground().preconditions(Preconditions {
        uid: live.metadata.uid.clone(),
        resource_version: None,
    });
    delete::<Deployment>(namespace, name, &params).await?;
    wait_deleted(namespace, name).await
}

/// Waits until the watch tells that a Deployment has gone.
pub(crate) async fn wait_deleted(namespace: &Namespace, name: &str) -> Result<(), ApiError> {
    let limit = std::time::Duration::from_secs(120);
    let end = tokio::time::Instant::now() + limit;
    while namespace.objects().deployments.get(name).is_some() {
        if tokio::time::Instant::now() >= end {
            return Err(ApiError::timed_out(&namespace.client.cluster_name, limit));
        }
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
    Ok(())
}

/// Deletes an object. One that is not there is deleted.
pub(crate) async fn delete<K>(namespace: &Namespace, name: &str, params: &DeleteParams) -> Result<(), ApiError>
where
    K: Resource<Scope = kube::core::NamespaceResourceScope, DynamicType = ()>
        + Clone
        + std::fmt::Debug
        + DeserializeOwned,
{
    let api = namespace.client.api::<K>();
    let deleted = namespace.client.call(|| api.delete(name, params)).await.map(drop);
    crate::api_client::ignore_not_found(deleted)
}

/// Deletes what a plan wrote and the watch has not told of, as after an answer that was lost; a stranger's stays.
pub(crate) async fn delete_unwatched<K>(namespace: &Namespace, name: &str, key: &DeploymentKey) -> Result<(), ApiError>
where
    K: Resource<Scope = kube::core::NamespaceResourceScope, DynamicType = ()>
        + Clone
        + std::fmt::Debug
        + DeserializeOwned,
{
    let api = namespace.client.api::<K>();
    let found = match namespace.client.call(|| api.get_metadata_opt(name)).await {
        Err(ApiError::NamespaceNotFound(_)) => None,
        found => found?,
    };
    match found {
        Some(object) if DeploymentKey::of_object(&object.metadata, &namespace.manager).as_ref() == Some(key) => {
            delete::<K>(namespace, name, &DeleteParams::background()).await
        }
        _ => Ok(()),
    }
}

/// Deletes a part that is ours.
pub(crate) async fn delete_dependent(
    namespace: &Namespace,
    dependent: DependentKind,
    name: &str,
) -> Result<(), ApiError> {
    let params = DeleteParams::background();
    match dependent {
        DependentKind::Service => delete::<Service>(namespace, name, &params).await?,
        DependentKind::Secret => delete::<Secret>(namespace, name, &params).await?,
        DependentKind::Policy => delete::<NetworkPolicy>(namespace, name, &params).await?,
    }
    if let Some(table) = namespace.objects().dependents.get_mut(&dependent) {
        table.remove_deleted(name);
    }
    Ok(())
}
