//! Deletes objects that a deployment no longer needs, and all objects of a removed deployment.

use std::{collections::BTreeSet, sync::Arc};

use k8s_openapi::{
    api::{
        apps::v1::Deployment,
        coordination::v1::Lease,
        core::v1::{Secret, Service},
        networking::v1::NetworkPolicy,
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::api::DeleteParams;
use portolan_core::InstallName;
use serde_json::json;

use crate::{
    annotations, api_compat, apply,
    deployment_state::DeploymentState,
    error::ApiError,
    name::{self, DeploymentKey},
    namespace::Namespace,
    object_cache::{DependentKind, ObjectCache},
    plan::DeploymentPlan,
};

/// Deletes the objects of the deployment that are not in `plan`, such as the Service of a server that is now attached to, or
/// objects under a former name; and pull secrets that no deployment uses.
pub(crate) async fn delete_stale(deployment: &DeploymentState, plan: &DeploymentPlan) -> Result<(), ApiError> {
    let kept: BTreeSet<_> = plan
        .dependents
        .iter()
        .map(|dependent| (dependent.kind, dependent.name.clone()))
        .collect();
    let (dependents, deployments) = owned(deployment);
    for name in deployments.iter().filter(|name| **name != plan.name) {
        apply::delete::<Deployment>(&deployment.namespace, name, &DeleteParams::background()).await?;
    }
    for (kind, name) in dependents.into_iter().filter(|dependent| !kept.contains(dependent)) {
        apply::delete_dependent(&deployment.namespace, kind, &name).await?;
    }
    delete_unused_shared(&deployment.namespace).await
}

/// Deletes all objects of the deployment. The policies go last, so that terminating pods keep them.
pub(crate) async fn delete_all(deployment: &DeploymentState) -> Result<(), ApiError> {
    let namespace = &deployment.namespace;
    let (dependents, deployments) = owned(deployment);
    if let Some(live) = deployment.live() {
        let now = deployment.context.now().to_string();
        // Tells other replicas of the host not to recreate it. It may be gone already.
        let patch = json!({ "metadata": { "annotations": { annotations::REMOVING: now } } });
        if let Err(error) = namespace.patch_deployment(&live, &patch).await {
            tracing::debug!(key = %deployment.key, %error, "announcing the removal failed");
        }
    }
    for name in &deployments {
        apply::delete::<Deployment>(namespace, name, &DeleteParams::background()).await?;
        namespace.objects().deployments.remove_deleted(name);
    }
    // Sorted: Services, Secrets, policies.
    for (kind, name) in &dependents {
        apply::delete_dependent(namespace, *kind, name).await?;
    }
    for name in &deployments {
        // The holder of the Lease releases it, unless that program has died.
        apply::delete::<Lease>(namespace, name, &DeleteParams::background()).await?;
    }
    delete_unwatched(deployment, &deployments, &dependents).await?;
    delete_unused_shared(namespace).await
}

/// Deletes the objects of the plan that no watch has reported.
async fn delete_unwatched(
    deployment: &DeploymentState,
    deployments: &BTreeSet<String>,
    dependents: &BTreeSet<(DependentKind, String)>,
) -> Result<(), ApiError> {
    let Some(plan) = deployment.lock().plan.clone() else {
        return Ok(());
    };
    let (namespace, key) = (&*deployment.namespace, &deployment.key);
    if !deployments.contains(&plan.name) {
        apply::delete_unwatched::<Deployment>(namespace, &plan.name, key).await?;
    }
    for dependent in plan
        .dependents
        .iter()
        .filter(|dependent| !dependent.shared && !dependents.contains(&(dependent.kind, dependent.name.clone())))
    {
        let name = &dependent.name;
        match dependent.kind {
            DependentKind::Service => apply::delete_unwatched::<Service>(namespace, name, key).await?,
            DependentKind::Secret => apply::delete_unwatched::<Secret>(namespace, name, key).await?,
            DependentKind::Policy => apply::delete_unwatched::<NetworkPolicy>(namespace, name, key).await?,
        }
    }
    Ok(())
}

/// Removes the record of a user from a shared deployment.
pub(crate) async fn remove_user(deployment: &DeploymentState, user: &InstallName) -> Result<(), ApiError> {
    let Some(live) = deployment.live() else { return Ok(()) };
    let patch = json!({ "metadata": { "annotations": { annotations::user_key(user): null } } });
    deployment.namespace.patch_deployment(&live, &patch).await
}

/// Deletes pull secrets that no deployment uses, and the baseline policy if there is no deployment.
async fn delete_unused_shared(namespace: &Namespace) -> Result<(), ApiError> {
    let unused: Vec<_> = {
        let objects = namespace.objects();
        let used: BTreeSet<_> = objects
            .deployments
            .iter()
            .flat_map(|live| pull_secrets_of(live))
            .collect();
        let is_empty = objects.deployments.iter().next().is_none();
        let of_kind = |kind: DependentKind, label: &'static str| {
            let table = objects.dependents.get(&kind).into_iter();
            table
                .flat_map(|table| table.iter())
                .filter(move |meta| kind_label(meta) == Some(label))
                .filter_map(move |meta| Some((kind, meta.name.clone()?)))
        };
        let secrets = of_kind(DependentKind::Secret, "pull-secret").filter(|(_, name)| !used.contains(name));
        let baseline = of_kind(DependentKind::Policy, "baseline").filter(|_| is_empty);
        secrets.chain(baseline).collect()
    };
    for (kind, name) in unused {
        apply::delete_dependent(namespace, kind, &name).await?;
    }
    Ok(())
}

fn pull_secrets_of(live: &Deployment) -> Vec<String> {
    let pod = api_compat::spec(live).and_then(|spec| spec.template.spec.as_ref());
    let secrets = pod.and_then(|pod| pod.image_pull_secrets.as_ref());
    secrets
        .into_iter()
        .flatten()
        .map(|secret| secret.name.clone())
        .collect()
}

fn kind_label(meta: &ObjectMeta) -> Option<&str> {
    meta.labels.as_ref()?.get(name::KIND).map(String::as_str)
}

/// Returns whether there is an object of `key` besides a Deployment.
pub(crate) fn has_any(objects: &ObjectCache, key: &DeploymentKey, manager: &str) -> bool {
    let mut dependents = objects.dependents.values().flat_map(|table| table.iter());
    dependents.any(|meta| DeploymentKey::of_object(meta, manager).as_ref() == Some(key))
}

/// Returns the dependents and the Deployments of a deployment.
fn owned(deployment: &DeploymentState) -> (BTreeSet<(DependentKind, String)>, BTreeSet<String>) {
    let objects = deployment.namespace.objects();
    let is_owned = |meta: &ObjectMeta| {
        DeploymentKey::of_object(meta, &deployment.namespace.manager).as_ref() == Some(&deployment.key)
    };
    let dependents = objects
        .dependents
        .iter()
        .flat_map(|(kind, table)| table.iter().map(move |meta| (*kind, meta)))
        .filter(|(_, meta)| is_owned(meta))
        .filter_map(|(kind, meta)| Some((kind, meta.name.clone()?)))
        .collect();
    let deployments = objects
        .deployments
        .iter()
        .filter(|live: &&Arc<Deployment>| is_owned(&live.metadata))
        .filter_map(|live| live.metadata.name.clone())
        .collect();
    (dependents, deployments)
}
