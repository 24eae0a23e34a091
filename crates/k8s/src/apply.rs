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
    error::Fault,
    managed_fields,
    name::{self, Unit},
    namespace::Target,
    object_cache::{Part, View},
    plan::{PartObject, PartPlan, Plan},
    render::api_compat,
};

/// What differs.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Need {
    /// The parts to write, by their place in the plan.
    pub(crate) parts: Vec<usize>,
    /// Whether the Deployment is written.
    pub(crate) deployment: bool,
    /// Whether the Deployment that there is has to go first: its selector cannot be changed.
    pub(crate) replace: bool,
    /// Whether the Deployment that there is is going: until it has gone, nothing can be written.
    pub(crate) wait: bool,
}

/// Sets of fields that stay as they are although they do not cover what is wanted: a cluster that changes our objects as
/// it takes them in would else be written to for ever.
pub(crate) type Accepted = BTreeMap<String, Value>;

impl Need {
    /// What differs between `plan` and what the view has.
    pub(crate) fn of(view: &View, plan: &Plan, manager: &str, accepted: &Accepted) -> Self {
        let mut need = Self::default();
        let live = view.deployments.get(&plan.deployment);
        if let Some(live) = live {
            need.wait = live.metadata.deletion_timestamp.is_some();
            need.replace = !need.wait && selector(live) != selector(&plan.rendered.deployment);
        }
        let changed = live.is_none_or(|live| annotations::digest(&live.metadata) != Some(&plan.rendered.digest));
        need.deployment = changed || need.replace || live.is_none_or(|live| !is_kept(live, plan, manager, accepted));
        let is_missing = |(_, part): &(usize, &PartPlan)| {
            let drifted = || !view.part_is_ours(part.part, &part.name, &part.wanted, manager, accepted.get(&part.name));
            (changed && !part.is_constant()) || drifted()
        };
        need.parts = plan
            .parts
            .iter()
            .enumerate()
            .filter(is_missing)
            .map(|(place, _)| place)
            .collect();
        need
    }

    pub(crate) fn is_nothing(&self) -> bool {
        self.parts.is_empty() && !self.deployment
    }
}

fn is_kept(live: &Deployment, plan: &Plan, manager: &str, accepted: &Accepted) -> bool {
    let fields = managed_fields::ours(&live.metadata, manager);
    let asleep = crate::status::wanted_replicas(live) == 0;
    managed_fields::covers(fields, &plan.wanted(asleep)) || accepted.get(&plan.deployment) == Some(fields)
}

fn selector(deployment: &Deployment) -> Option<&BTreeMap<String, String>> {
    api_compat::spec(deployment)?.selector.match_labels.as_ref()
}

/// Writes what `need` says. The Deployment comes last: when its pods start, all that they need is there.
pub(crate) async fn write(target: &Target, plan: &Plan, need: &Need, accepted: &mut Accepted) -> Result<(), Failure> {
    if need.replace {
        replace(target, &plan.deployment)
            .await
            .map_err(|fault| fault.failure())?;
    }
    for part in need.parts.iter().filter_map(|place| plan.parts.get(*place)) {
        // Of many that come up together, each has found that it is missing; the first one writes it.
        let _first = if part.is_constant() {
            Some(target.constants.lock().await)
        } else {
            None
        };
        if part.is_constant()
            && target
                .view()
                .part_is_ours(part.part, &part.name, &part.wanted, &target.manager, None)
        {
            continue;
        }
        let written = match &part.object {
            PartObject::Service(object) => put(target, &part.name, &**object, is_known(target, part)).await?,
            PartObject::Secret(object) => put(target, &part.name, &**object, is_known(target, part)).await?,
            PartObject::Policy(object) => put(target, &part.name, &**object, is_known(target, part)).await?,
        };
        note(accepted, &part.name, &written, &part.wanted, &target.manager);
        target.view().parts.entry(part.part).or_default().put(written);
    }
    if need.deployment {
        let (known, asleep) = {
            let view = target.view();
            let live = view.deployments.get(&plan.deployment);
            (
                live.is_some(),
                live.is_some_and(|live| crate::status::wanted_replicas(live) == 0),
            )
        };
        let object = plan.deployment(asleep);
        check_owner::<Deployment>(target, &plan.deployment, &plan.rendered.unit, known).await?;
        let api = target.cluster.api::<Deployment>();
        let params = PatchParams::apply(&target.manager).force();
        let patch = Patch::Apply(&object);
        let written = target
            .cluster
            .call(|| api.patch(&plan.deployment, &params, &patch))
            .await;
        let written = written.map_err(|fault| named(fault, "deployment", &plan.deployment, target))?;
        note(
            accepted,
            &plan.deployment,
            &written.metadata,
            &plan.wanted(asleep),
            &target.manager,
        );
        target.view().deployments.put(written);
    }
    Ok(())
}

fn is_known(target: &Target, part: &PartPlan) -> bool {
    target
        .view()
        .parts
        .get(&part.part)
        .is_some_and(|table| table.get(&part.name).is_some())
}

/// Writes one object and gives its metadata: what a Secret holds is not sent back.
async fn put<K>(target: &Target, name: &str, object: &K, known: bool) -> Result<ObjectMeta, Failure>
where
    K: Resource<Scope = kube::core::NamespaceResourceScope, DynamicType = ()> + Clone + std::fmt::Debug,
    K: Serialize + DeserializeOwned,
{
    let unit = Unit::of_object(object.meta(), &target.manager);
    match unit {
        Some(unit) => check_owner::<K>(target, name, &unit, known).await?,
        None => check_manager::<K>(target, name, known).await?,
    }
    let api = target.cluster.api::<K>();
    let params = PatchParams::apply(&target.manager).force();
    let patch = Patch::Apply(object);
    let written = target.cluster.call(|| api.patch_metadata(name, &params, &patch)).await;
    let kind = K::kind(&()).to_lowercase();
    Ok(written.map_err(|fault| named(fault, &kind, name, target))?.metadata)
}

/// Server-side apply takes over whatever has the name. So before an object is made that is not known as ours, the name
/// is looked up: a stranger's is never touched.
async fn check_owner<K>(target: &Target, name: &str, unit: &Unit, known: bool) -> Result<(), Failure>
where
    K: Resource<Scope = kube::core::NamespaceResourceScope, DynamicType = ()>
        + Clone
        + std::fmt::Debug
        + DeserializeOwned,
{
    match lookup::<K>(target, name, known).await? {
        Some(meta) if Unit::of_object(&meta, &target.manager).as_ref() != Some(unit) => {
            Err(stranger::<K>(target, name))
        }
        _ => Ok(()),
    }
}

async fn check_manager<K>(target: &Target, name: &str, known: bool) -> Result<(), Failure>
where
    K: Resource<Scope = kube::core::NamespaceResourceScope, DynamicType = ()>
        + Clone
        + std::fmt::Debug
        + DeserializeOwned,
{
    let is_ours = |meta: &ObjectMeta| {
        let label = meta.labels.as_ref().and_then(|labels| labels.get(name::MANAGED_BY));
        label == Some(&target.manager)
    };
    match lookup::<K>(target, name, known).await? {
        Some(meta) if !is_ours(&meta) => Err(stranger::<K>(target, name)),
        _ => Ok(()),
    }
}

async fn lookup<K>(target: &Target, name: &str, known: bool) -> Result<Option<ObjectMeta>, Failure>
where
    K: Resource<Scope = kube::core::NamespaceResourceScope, DynamicType = ()>
        + Clone
        + std::fmt::Debug
        + DeserializeOwned,
{
    if known {
        return Ok(None);
    }
    let api = target.cluster.api::<K>();
    let found = target.cluster.call(|| api.get_metadata_opt(name)).await;
    Ok(found.map_err(|fault| fault.failure())?.map(|object| object.metadata))
}

fn stranger<K: Resource<DynamicType = ()>>(target: &Target, name: &str) -> Failure {
    let kind = K::kind(&()).to_lowercase();
    let namespace = &target.cluster.namespace;
    Failure::new(
        FailureKind::Config,
        format!("the {kind} {namespace}/{name} is there already, and is not ours"),
    )
    .remedy(format!("rename or delete that {kind}; it is left as it is until then"))
}

fn named(fault: Fault, kind: &str, name: &str, target: &Target) -> Failure {
    fault
        .failure()
        .detail(format!("{kind} {}/{name}", target.cluster.namespace))
}

/// Remembers the fields of an object that was just written, if they still do not cover what is wanted.
fn note(accepted: &mut Accepted, name: &str, written: &ObjectMeta, wanted: &Value, manager: &str) {
    let fields = managed_fields::ours(written, manager);
    if managed_fields::covers(fields, wanted) {
        accepted.remove(name);
    } else {
        tracing::debug!(object = name, "the cluster does not keep all that was applied");
        accepted.insert(name.to_owned(), fields.clone());
    }
}

/// Deletes the Deployment that there is, and waits until it has gone with its pods.
async fn replace(target: &Target, name: &str) -> Result<(), Fault> {
    let live = target.view().deployments.get(name).cloned();
    let Some(live) = live else { return Ok(()) };
    tracing::info!(
        deployment = name,
        "its selector changed, which cannot be applied: it is made anew"
    );
    let params = DeleteParams::foreground().preconditions(Preconditions {
        uid: live.metadata.uid.clone(),
        resource_version: None,
    });
    delete::<Deployment>(target, name, &params).await?;
    wait_gone(target, name).await
}

/// Waits until the watch tells that a Deployment has gone.
pub(crate) async fn wait_gone(target: &Target, name: &str) -> Result<(), Fault> {
    let limit = std::time::Duration::from_secs(120);
    let end = tokio::time::Instant::now() + limit;
    while target.view().deployments.get(name).is_some() {
        if tokio::time::Instant::now() >= end {
            return Err(Fault::late(&target.cluster.title, limit));
        }
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
    Ok(())
}

/// Deletes an object. One that is not there is deleted.
pub(crate) async fn delete<K>(target: &Target, name: &str, params: &DeleteParams) -> Result<(), Fault>
where
    K: Resource<Scope = kube::core::NamespaceResourceScope, DynamicType = ()>
        + Clone
        + std::fmt::Debug
        + DeserializeOwned,
{
    let api = target.cluster.api::<K>();
    let deleted = target.cluster.call(|| api.delete(name, params)).await.map(drop);
    crate::api_client::gone_is_done(deleted)
}

/// Deletes what a plan wrote and the watch has not told of, as after an answer that was lost; a stranger's stays.
pub(crate) async fn delete_unseen<K>(target: &Target, name: &str, unit: &Unit) -> Result<(), Fault>
where
    K: Resource<Scope = kube::core::NamespaceResourceScope, DynamicType = ()>
        + Clone
        + std::fmt::Debug
        + DeserializeOwned,
{
    let api = target.cluster.api::<K>();
    let found = match target.cluster.call(|| api.get_metadata_opt(name)).await {
        Err(Fault::NoNamespace(_)) => None,
        found => found?,
    };
    match found {
        Some(object) if Unit::of_object(&object.metadata, &target.manager).as_ref() == Some(unit) => {
            delete::<K>(target, name, &DeleteParams::background()).await
        }
        _ => Ok(()),
    }
}

/// Deletes a part that is ours.
pub(crate) async fn delete_part(target: &Target, part: Part, name: &str) -> Result<(), Fault> {
    let params = DeleteParams::background();
    match part {
        Part::Service => delete::<Service>(target, name, &params).await?,
        Part::Secret => delete::<Secret>(target, name, &params).await?,
        Part::Policy => delete::<NetworkPolicy>(target, name, &params).await?,
    }
    if let Some(table) = target.view().parts.get_mut(&part) {
        table.forget(name);
    }
    Ok(())
}
