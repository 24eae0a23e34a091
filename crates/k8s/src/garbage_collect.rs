//! Deleting: what a deployment no longer needs, and all of it.

use std::collections::BTreeSet;

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
    annotations, apply,
    deployment_state::DeploymentState,
    error::ApiError,
    name::{self, DeploymentKey},
    namespace::Namespace,
    object_cache::{DependentKind, ObjectCache},
    plan::DeploymentPlan,
    reconcile,
    render::api_compat,
};

/// Deletes what belongs to the deployment and is not in `plan`: the Service of a server that is attached to now, objects
/// under a former name; and accounts that no deployment pulls with any more.
pub(crate) async fn delete_stale(deployment: &DeploymentState, plan: &DeploymentPlan) -> Result<(), ApiError> {
    let kept: BTreeSet<_> = plan
        .dependents
        .iter()
        .map(|dependent| (dependent.dependent, dependent.name.clone()))
        .collect();
    let (dependents, deployments) = {
        let objects = deployment.namespace.objects();
        (
            owned_dependents(&objects, deployment),
            owned_deployments(&objects, deployment),
        )
    };
    for name in deployments.iter().filter(|name| **name != plan.name) {
        apply::delete::<Deployment>(&deployment.namespace, name, &DeleteParams::background()).await?;
    }
    for (dependent, name) in dependents.into_iter().filter(|dependent| !kept.contains(dependent)) {
        apply::delete_dependent(&deployment.namespace, dependent, &name).await?;
    }
    unused(&deployment.namespace).await
}

/// Deletes everything of the deployment. The policies go last: pods that are on their way out keep them so long.
pub(crate) async fn delete_all(deployment: &DeploymentState) -> Result<(), ApiError> {
    let namespace = &deployment.namespace;
    let (dependents, deployments) = {
        let objects = namespace.objects();
        (
            owned_dependents(&objects, deployment),
            owned_deployments(&objects, deployment),
        )
    };
    if let Some(live) = deployment.live() {
        let now = deployment.context.now().to_string();
        // Another replica of the host would else take it for lost. If it has gone meanwhile, all the better.
        let told = reconcile::patch_deployment(
            deployment,
            &live,
            &json!({ "metadata": { "annotations": { annotations::REMOVING: now } } }),
        )
        .await;
        if let Err(error) = told {
            tracing::debug!(key = %deployment.key, %error, "its removal could not be announced");
        }
    }
    for name in &deployments {
        apply::delete::<Deployment>(namespace, name, &DeleteParams::background()).await?;
        namespace.objects().deployments.remove_deleted(name);
    }
    // Services, then secrets, then policies.
    for (dependent, name) in &dependents {
        apply::delete_dependent(namespace, *dependent, name).await?;
    }
    for name in &deployments {
        // Who is attached gives it back, unless that program is gone.
        apply::delete::<Lease>(namespace, name, &DeleteParams::background()).await?;
    }
    delete_unwatched(deployment, &deployments, &dependents).await?;
    unused(namespace).await
}

/// Deletes what the plan names and no watch has told of.
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
        .filter(|dependent| !dependent.shared && !dependents.contains(&(dependent.dependent, dependent.name.clone())))
    {
        match dependent.dependent {
            DependentKind::Service => apply::delete_unwatched::<Service>(namespace, &dependent.name, key).await?,
            DependentKind::Secret => apply::delete_unwatched::<Secret>(namespace, &dependent.name, key).await?,
            DependentKind::Policy => apply::delete_unwatched::<NetworkPolicy>(namespace, &dependent.name, key).await?,
        }
    }
    Ok(())
}

/// Takes a user off a shared deployment.
pub(crate) async fn remove_user(deployment: &DeploymentState, user: &InstallName) -> Result<(), ApiError> {
    let Some(live) = deployment.live() else { return Ok(()) };
    reconcile::patch_deployment(
        deployment,
        &live,
        &json!({ "metadata": { "annotations": { annotations::user_key(user): null } } }),
    )
    .await
}

/// Deletes accounts that no deployment pulls with, and the baseline once there is no deployment.
async fn unused(namespace: &Namespace) -> Result<(), ApiError> {
    let unused: Vec<_> = {
        let objects = namespace.objects();
        let pulled: BTreeSet<_> = objects.deployments.iter().flat_map(|live| pulls_with(live)).collect();
        let is_empty = objects.deployments.iter().next().is_none();
        let accounts = objects
            .dependents
            .get(&DependentKind::Secret)
            .into_iter()
            .flat_map(|secrets| secrets.iter())
            .filter(|secret| kind(secret) == Some("pull-secret"))
            .filter_map(|secret| secret.name.clone())
            .filter(|name| !pulled.contains(name))
            .map(|name| (DependentKind::Secret, name));
        let baseline = objects
            .dependents
            .get(&DependentKind::Policy)
            .into_iter()
            .flat_map(|policies| policies.iter())
            .filter(|policy| is_empty && kind(policy) == Some("baseline"))
            .filter_map(|policy| policy.name.clone())
            .map(|name| (DependentKind::Policy, name));
        accounts.chain(baseline).collect()
    };
    for (dependent, name) in unused {
        apply::delete_dependent(namespace, dependent, &name).await?;
    }
    Ok(())
}

fn pulls_with(live: &Deployment) -> Vec<String> {
    let pod = api_compat::spec(live).and_then(|spec| spec.template.spec.as_ref());
    let secrets = pod.and_then(|pod| pod.image_pull_secrets.as_ref());
    secrets
        .into_iter()
        .flatten()
        .map(|secret| secret.name.clone())
        .collect()
}

fn kind(meta: &ObjectMeta) -> Option<&str> {
    meta.labels.as_ref()?.get(name::KIND).map(String::as_str)
}

/// Whether anything of `key` is there beside a Deployment.
pub(crate) fn has_any(objects: &ObjectCache, key: &DeploymentKey, manager: &str) -> bool {
    let mut dependents = objects.dependents.values().flat_map(|table| table.iter());
    dependents.any(|meta| DeploymentKey::of_object(meta, manager).as_ref() == Some(key))
}

fn owned_dependents(objects: &ObjectCache, deployment: &DeploymentState) -> BTreeSet<(DependentKind, String)> {
    let is_its = |meta: &ObjectMeta| {
        DeploymentKey::of_object(meta, &deployment.namespace.manager).as_ref() == Some(&deployment.key)
    };
    let tables = objects.dependents.iter();
    tables
        .flat_map(|(dependent, table)| table.iter().map(move |meta| (*dependent, meta)))
        .filter(|(_, meta)| is_its(meta))
        .filter_map(|(dependent, meta)| Some((dependent, meta.name.clone()?)))
        .collect()
}

fn owned_deployments(objects: &ObjectCache, deployment: &DeploymentState) -> BTreeSet<String> {
    let is_its = |live: &&std::sync::Arc<Deployment>| {
        DeploymentKey::of_object(&live.metadata, &deployment.namespace.manager).as_ref() == Some(&deployment.key)
    };
    objects
        .deployments
        .iter()
        .filter(is_its)
        .filter_map(|live| live.metadata.name.clone())
        .collect()
}
