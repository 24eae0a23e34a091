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
    deployment_state::Cell,
    error::Fault,
    name::{self, Unit},
    namespace::Target,
    object_cache::{Part, View},
    plan::Plan,
    reconcile,
    render::api_compat,
};

/// Deletes what belongs to the deployment and is not in `plan`: the Service of a server that is attached to now, objects
/// under a former name; and accounts that no deployment pulls with any more.
pub(crate) async fn leftovers(cell: &Cell, plan: &Plan) -> Result<(), Fault> {
    let kept: BTreeSet<_> = plan.parts.iter().map(|part| (part.part, part.name.clone())).collect();
    let (parts, deployments) = {
        let view = cell.target.view();
        (parts_of(&view, cell), deployments_of(&view, cell))
    };
    for name in deployments.iter().filter(|name| **name != plan.deployment) {
        apply::delete::<Deployment>(&cell.target, name, &DeleteParams::background()).await?;
    }
    for (part, name) in parts.into_iter().filter(|part| !kept.contains(part)) {
        apply::delete_part(&cell.target, part, &name).await?;
    }
    unused(&cell.target).await
}

/// Deletes everything of the deployment. The policies go last: pods that are on their way out keep them so long.
pub(crate) async fn everything(cell: &Cell) -> Result<(), Fault> {
    let target = &cell.target;
    let (parts, deployments) = {
        let view = target.view();
        (parts_of(&view, cell), deployments_of(&view, cell))
    };
    if let Some(live) = cell.live() {
        let now = cell.ground.now().to_string();
        // Another replica of the host would else take it for lost. If it has gone meanwhile, all the better.
        let told = reconcile::patch(
            cell,
            &live,
            &json!({ "metadata": { "annotations": { annotations::REMOVING: now } } }),
        )
        .await;
        if let Err(fault) = told {
            tracing::debug!(unit = %cell.unit, %fault, "its removal could not be announced");
        }
    }
    for name in &deployments {
        apply::delete::<Deployment>(target, name, &DeleteParams::background()).await?;
        target.view().deployments.forget(name);
    }
    // Services, then secrets, then policies.
    for (part, name) in &parts {
        apply::delete_part(target, *part, name).await?;
    }
    for name in &deployments {
        // Who is attached gives it back, unless that program is gone.
        apply::delete::<Lease>(target, name, &DeleteParams::background()).await?;
    }
    unseen(cell, &deployments, &parts).await?;
    unused(target).await
}

/// Deletes what the plan names and no watch has told of.
async fn unseen(cell: &Cell, deployments: &BTreeSet<String>, parts: &BTreeSet<(Part, String)>) -> Result<(), Fault> {
    let Some(plan) = cell.state().plan.clone() else {
        return Ok(());
    };
    let (target, unit) = (&*cell.target, &cell.unit);
    if !deployments.contains(&plan.deployment) {
        apply::delete_unseen::<Deployment>(target, &plan.deployment, unit).await?;
    }
    for part in plan
        .parts
        .iter()
        .filter(|part| !part.shared && !parts.contains(&(part.part, part.name.clone())))
    {
        match part.part {
            Part::Service => apply::delete_unseen::<Service>(target, &part.name, unit).await?,
            Part::Secret => apply::delete_unseen::<Secret>(target, &part.name, unit).await?,
            Part::Policy => apply::delete_unseen::<NetworkPolicy>(target, &part.name, unit).await?,
        }
    }
    Ok(())
}

/// Takes a user off a shared deployment.
pub(crate) async fn signature(cell: &Cell, user: &InstallName) -> Result<(), Fault> {
    let Some(live) = cell.live() else { return Ok(()) };
    reconcile::patch(
        cell,
        &live,
        &json!({ "metadata": { "annotations": { annotations::user(user): null } } }),
    )
    .await
}

/// Deletes accounts that no deployment pulls with, and the baseline once there is no deployment.
async fn unused(target: &Target) -> Result<(), Fault> {
    let unused: Vec<_> = {
        let view = target.view();
        let pulled: BTreeSet<_> = view.deployments.iter().flat_map(|live| pulls_with(live)).collect();
        let is_empty = view.deployments.iter().next().is_none();
        let accounts = view
            .parts
            .get(&Part::Secret)
            .into_iter()
            .flat_map(|secrets| secrets.iter())
            .filter(|secret| kind(secret) == Some("pull-secret"))
            .filter_map(|secret| secret.name.clone())
            .filter(|name| !pulled.contains(name))
            .map(|name| (Part::Secret, name));
        let baseline = view
            .parts
            .get(&Part::Policy)
            .into_iter()
            .flat_map(|policies| policies.iter())
            .filter(|policy| is_empty && kind(policy) == Some("baseline"))
            .filter_map(|policy| policy.name.clone())
            .map(|name| (Part::Policy, name));
        accounts.chain(baseline).collect()
    };
    for (part, name) in unused {
        apply::delete_part(target, part, &name).await?;
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

/// Whether anything of `unit` is there beside a Deployment.
pub(crate) fn has_any(view: &View, unit: &Unit, manager: &str) -> bool {
    let mut parts = view.parts.values().flat_map(|table| table.iter());
    parts.any(|meta| Unit::of_object(meta, manager).as_ref() == Some(unit))
}

fn parts_of(view: &View, cell: &Cell) -> BTreeSet<(Part, String)> {
    let is_its = |meta: &ObjectMeta| Unit::of_object(meta, &cell.target.manager).as_ref() == Some(&cell.unit);
    let tables = view.parts.iter();
    tables
        .flat_map(|(part, table)| table.iter().map(move |meta| (*part, meta)))
        .filter(|(_, meta)| is_its(meta))
        .filter_map(|(part, meta)| Some((part, meta.name.clone()?)))
        .collect()
}

fn deployments_of(view: &View, cell: &Cell) -> BTreeSet<String> {
    let is_its = |live: &&std::sync::Arc<Deployment>| {
        Unit::of_object(&live.metadata, &cell.target.manager).as_ref() == Some(&cell.unit)
    };
    view.deployments
        .iter()
        .filter(is_its)
        .filter_map(|live| live.metadata.name.clone())
        .collect()
}
