//! Server-side apply of a plan: writes the objects that differ from the cluster, and nothing else.

use std::{collections::BTreeMap, fmt, time::Duration};

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
    core::NamespaceResourceScope,
};
use portolan_core::{Failure, FailureKind};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::{
    annotations,
    api_client::ignore_not_found,
    api_compat,
    error::ApiError,
    managed_fields,
    name::{self, DeploymentKey},
    namespace::Namespace,
    object_cache::{DependentKind, ObjectCache},
    plan::{DependentObject, DependentPlan, DeploymentPlan},
    status::wanted_replicas,
};

/// How long a deleted Deployment may take to disappear with its pods.
const DELETION_TIMEOUT: Duration = Duration::from_secs(120);

/// What differs between a plan and the cluster.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct ApplyDiff {
    /// The dependents to write, by their index in the plan.
    pub(crate) dependents: Vec<usize>,
    /// Whether the Deployment has to be written.
    pub(crate) deployment: bool,
    /// Whether the live Deployment has to be deleted first, because its selector is immutable.
    pub(crate) replace: bool,
    /// Whether the live Deployment is being deleted: nothing can be written before it is gone.
    pub(crate) wait: bool,
    /// Whether there is no Deployment.
    is_new: bool,
    /// Whether the digest of the live Deployment differs.
    is_changed: bool,
}

/// The field sets of objects that stay incomplete after an apply, by object name: a cluster that changes our objects on
/// admission would otherwise be written to forever.
pub(crate) type AcceptedFields = BTreeMap<String, Value>;

impl ApplyDiff {
    /// Compares `plan` with the cached objects.
    pub(crate) fn new(objects: &ObjectCache, plan: &DeploymentPlan, manager: &str, accepted: &AcceptedFields) -> Self {
        let live = objects.deployments.get(&plan.name);
        let mut diff = Self {
            is_new: live.is_none(),
            ..Self::default()
        };
        if let Some(live) = live {
            diff.wait = live.metadata.deletion_timestamp.is_some();
            diff.replace = !diff.wait && selector(live) != selector(&plan.rendered.deployment);
        }
        let changed = live.is_none_or(|live| annotations::digest(&live.metadata) != Some(&plan.rendered.digest));
        diff.is_changed = changed;
        diff.deployment =
            changed || diff.replace || live.is_none_or(|live| !is_unchanged(live, plan, manager, accepted));
        let needs_write = |(_, dependent): &(usize, &DependentPlan)| {
            let has_drifted = || {
                let accepted = accepted.get(&dependent.name);
                !objects.owns_dependent(dependent.kind, &dependent.name, &dependent.wanted, manager, accepted)
            };
            (changed && !dependent.is_constant()) || has_drifted()
        };
        diff.dependents = plan
            .dependents
            .iter()
            .enumerate()
            .filter(needs_write)
            .map(|(index, _)| index)
            .collect();
        diff
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.dependents.is_empty() && !self.deployment
    }

    /// Returns why objects are written, for the event of the apply.
    pub(crate) fn reason(&self, is_restart: bool) -> &'static str {
        match self {
            Self { is_new: true, .. } => "created",
            Self { is_changed: true, .. } => "changed",
            _ if is_restart => "restarted",
            _ => "repaired",
        }
    }
}

fn is_unchanged(live: &Deployment, plan: &DeploymentPlan, manager: &str, accepted: &AcceptedFields) -> bool {
    let fields = managed_fields::applied_by(&live.metadata, manager);
    let asleep = wanted_replicas(live) == 0;
    managed_fields::covers(fields, &plan.wanted(asleep)) || accepted.get(&plan.name) == Some(fields)
}

fn selector(deployment: &Deployment) -> Option<&BTreeMap<String, String>> {
    api_compat::spec(deployment)?.selector.match_labels.as_ref()
}

/// Writes what `diff` lists. The Deployment comes last: when its pods start, everything they need exists.
///
/// # Errors
///
/// The failure of the first write, with the name of the object.
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
    for dependent in diff.dependents.iter().filter_map(|index| plan.dependents.get(*index)) {
        write_dependent(namespace, dependent, accepted).await?;
    }
    if diff.deployment {
        write_deployment(namespace, plan, accepted).await?;
    }
    Ok(())
}

async fn write_dependent(
    namespace: &Namespace,
    dependent: &DependentPlan,
    accepted: &mut AcceptedFields,
) -> Result<(), Failure> {
    let (kind, name, wanted) = (dependent.kind, &dependent.name, &dependent.wanted);
    // Deployments that start together all find it missing; the first one writes it.
    let _writing = if dependent.is_constant() {
        Some(namespace.shared_write_lock.lock().await)
    } else {
        None
    };
    let is_known = {
        let objects = namespace.objects();
        if dependent.is_constant() && objects.owns_dependent(kind, name, wanted, &namespace.manager, None) {
            return Ok(());
        }
        let table = objects.dependents.get(&kind);
        table.is_some_and(|table| table.get(name).is_some())
    };
    let written = match &dependent.object {
        DependentObject::Service(object) => apply_metadata(namespace, name, &**object, is_known).await?,
        DependentObject::Secret(object) => apply_metadata(namespace, name, &**object, is_known).await?,
        DependentObject::Policy(object) => apply_metadata(namespace, name, &**object, is_known).await?,
    };
    record_accepted(accepted, name, &written, wanted, &namespace.manager);
    namespace.objects().dependents.entry(kind).or_default().insert(written);
    Ok(())
}

async fn write_deployment(
    namespace: &Namespace,
    plan: &DeploymentPlan,
    accepted: &mut AcceptedFields,
) -> Result<(), Failure> {
    let (is_known, asleep) = {
        let objects = namespace.objects();
        let live = objects.deployments.get(&plan.name);
        (live.is_some(), live.is_some_and(|live| wanted_replicas(live) == 0))
    };
    let object = plan.deployment(asleep);
    check_owner::<Deployment>(namespace, &plan.name, &plan.rendered.key, is_known).await?;
    let api = namespace.client.api::<Deployment>();
    let params = PatchParams::apply(&namespace.manager).force();
    let patch = Patch::Apply(&object);
    let written = namespace.client.call(|| api.patch(&plan.name, &params, &patch)).await;
    let written = written.map_err(|error| with_object_name(&error, "deployment", &plan.name, namespace))?;
    record_accepted(
        accepted,
        &plan.name,
        &written.metadata,
        &plan.wanted(asleep),
        &namespace.manager,
    );
    namespace.objects().deployments.insert(written);
    Ok(())
}

/// Applies one object and returns its metadata: the contents of a Secret are not sent back.
async fn apply_metadata<K>(namespace: &Namespace, name: &str, object: &K, is_known: bool) -> Result<ObjectMeta, Failure>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + fmt::Debug + Serialize + DeserializeOwned,
{
    match DeploymentKey::of_object(object.meta(), &namespace.manager) {
        Some(key) => check_owner::<K>(namespace, name, &key, is_known).await?,
        None => check_manager::<K>(namespace, name, is_known).await?,
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
        .map_err(|error| with_object_name(&error, &kind, name, namespace))?
        .metadata)
}

/// Checks that the name is free or belongs to `key`. Server-side apply takes over any object of the name, and an object that
/// another owner created must not be touched.
async fn check_owner<K>(namespace: &Namespace, name: &str, key: &DeploymentKey, is_known: bool) -> Result<(), Failure>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + fmt::Debug + DeserializeOwned,
{
    match lookup::<K>(namespace, name, is_known).await? {
        Some(meta) if DeploymentKey::of_object(&meta, &namespace.manager).as_ref() != Some(key) => {
            Err(foreign_object::<K>(namespace, name))
        }
        _ => Ok(()),
    }
}

async fn check_manager<K>(namespace: &Namespace, name: &str, is_known: bool) -> Result<(), Failure>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + fmt::Debug + DeserializeOwned,
{
    let is_managed = |meta: &ObjectMeta| {
        let label = meta.labels.as_ref().and_then(|labels| labels.get(name::MANAGED_BY));
        label == Some(&namespace.manager)
    };
    match lookup::<K>(namespace, name, is_known).await? {
        Some(meta) if !is_managed(&meta) => Err(foreign_object::<K>(namespace, name)),
        _ => Ok(()),
    }
}

async fn lookup<K>(namespace: &Namespace, name: &str, is_known: bool) -> Result<Option<ObjectMeta>, Failure>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + fmt::Debug + DeserializeOwned,
{
    if is_known {
        return Ok(None);
    }
    let api = namespace.client.api::<K>();
    let found = namespace.client.call(|| api.get_metadata_opt(name)).await;
    Ok(found.map_err(|error| error.to_failure())?.map(|object| object.metadata))
}

fn foreign_object<K: Resource<DynamicType = ()>>(namespace: &Namespace, name: &str) -> Failure {
    let kind = K::kind(&()).to_lowercase();
    let place = namespace.name();
    Failure::new(
        FailureKind::Config,
        format!("the {kind} {place}/{name} exists already and belongs to someone else"),
    )
    .remedy(format!("rename or delete that {kind}; it is not touched until then"))
}

fn with_object_name(error: &ApiError, kind: &str, name: &str, namespace: &Namespace) -> Failure {
    error.to_failure().detail(format!("{kind} {}/{name}", namespace.name()))
}

/// Records the field set of an object that was just written, if it still does not cover what is wanted.
fn record_accepted(accepted: &mut AcceptedFields, name: &str, written: &ObjectMeta, wanted: &Value, manager: &str) {
    let fields = managed_fields::applied_by(written, manager);
    if managed_fields::covers(fields, wanted) {
        accepted.remove(name);
    } else {
        tracing::debug!(object = name, "the cluster does not keep all applied fields");
        accepted.insert(name.to_owned(), fields.clone());
    }
}

/// Deletes the live Deployment, and waits until it is gone with its pods.
async fn replace(namespace: &Namespace, name: &str) -> Result<(), ApiError> {
    let live = namespace.objects().deployments.get(name).cloned();
    let Some(live) = live else { return Ok(()) };
    tracing::info!(
        deployment = name,
        namespace = namespace.name(),
        "selector changed: the deployment is deleted and created again"
    );
    let params = DeleteParams::foreground().preconditions(Preconditions {
        uid: live.metadata.uid.clone(),
        resource_version: None,
    });
    delete::<Deployment>(namespace, name, &params).await?;
    wait_deleted(namespace, name).await
}

/// Waits until the watch reports that a Deployment is gone.
pub(crate) async fn wait_deleted(namespace: &Namespace, name: &str) -> Result<(), ApiError> {
    let end = Instant::now() + DELETION_TIMEOUT;
    while namespace.objects().deployments.get(name).is_some() {
        if Instant::now() >= end {
            return Err(ApiError::timed_out(&namespace.client.cluster_name, DELETION_TIMEOUT));
        }
        sleep(Duration::from_millis(200)).await;
    }
    Ok(())
}

/// Deletes an object. A missing object counts as deleted.
pub(crate) async fn delete<K>(namespace: &Namespace, name: &str, params: &DeleteParams) -> Result<(), ApiError>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + fmt::Debug + DeserializeOwned,
{
    let api = namespace.client.api::<K>();
    let deleted = namespace.client.call(|| api.delete(name, params)).await.map(drop);
    ignore_not_found(deleted)
}

/// Deletes an object of `key` that the watch has not reported, as after a lost response. Objects of others stay.
pub(crate) async fn delete_unwatched<K>(namespace: &Namespace, name: &str, key: &DeploymentKey) -> Result<(), ApiError>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + fmt::Debug + DeserializeOwned,
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

/// Deletes a dependent.
pub(crate) async fn delete_dependent(namespace: &Namespace, kind: DependentKind, name: &str) -> Result<(), ApiError> {
    let params = DeleteParams::background();
    match kind {
        DependentKind::Service => delete::<Service>(namespace, name, &params).await?,
        DependentKind::Secret => delete::<Secret>(namespace, name, &params).await?,
        DependentKind::Policy => delete::<NetworkPolicy>(namespace, name, &params).await?,
    }
    if let Some(table) = namespace.objects().dependents.get_mut(&kind) {
        table.remove_deleted(name);
    }
    Ok(())
}
