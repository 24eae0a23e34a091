//! The Deployment.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::{
        apps::v1::{Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment},
        core::v1::{PodTemplateSpec, Secret as SecretObject},
    },
    apimachinery::pkg::{
        apis::meta::v1::{LabelSelector, ObjectMeta},
        util::intstr::IntOrString,
    },
};
use portolan_core::Result;

use crate::name;

use super::{Carrier, RestartRequest, api_compat, pod, render_plan::RenderPlan, secret};

/// The Deployment, without its digest.
pub(super) fn deployment(plan: &RenderPlan<'_>, secret: Option<&SecretObject>) -> Result<Deployment> {
    let digest = secret.map(|secret| secret::digest(secret, plan.input.bridge_token));
    Ok(api_compat::deployment(
        plan.meta(&plan.name),
        DeploymentSpec {
            replicas: plan
                .input
                .spec
                .kubernetes
                .replicas
                .filter(|_| rolls(plan.carrier))
                .map(i32::from),
            revision_history_limit: Some(2),
            selector: LabelSelector {
                match_labels: Some(plan.selector()),
                match_expressions: None,
            },
            strategy: Some(strategy(plan.carrier)),
            template: PodTemplateSpec {
                metadata: Some(ObjectMeta {
                    labels: Some(plan.labels()),
                    annotations: digest.map(|digest| [(name::SECRET_DIGEST.to_owned(), digest)].into()),
                    ..ObjectMeta::default()
                }),
                spec: Some(pod::spec(plan)?),
            },
            ..DeploymentSpec::default()
        },
    ))
}

/// Whether a new pod may run beside the old one. A stdio server is one process: two would both be told what is said once.
pub(super) fn rolls(carrier: Carrier) -> bool {
    carrier == Carrier::Http
}

/// How a new pod takes the place of the old one.
pub(super) fn strategy(carrier: Carrier) -> DeploymentStrategy {
    if !rolls(carrier) {
        return DeploymentStrategy {
            type_: Some("Recreate".into()),
            rolling_update: None,
        };
    }
    DeploymentStrategy {
        type_: Some("RollingUpdate".into()),
        rolling_update: Some(RollingUpdateDeployment {
            max_unavailable: Some(IntOrString::Int(0)),
            max_surge: Some(IntOrString::Int(1)),
        }),
    }
}

/// Marks the pods as restarted.
pub(super) fn restart(deployment: &mut Deployment, restarted: RestartRequest) {
    let Some(template) = api_compat::spec_mut(deployment).map(|spec| &mut spec.template) else {
        return;
    };
    annotations(template.metadata.get_or_insert_default()).insert(name::RESTARTED_AT.into(), restarted.at.to_string());
    let containers = template.spec.iter_mut().flat_map(|pod| &mut pod.containers);
    for server in containers.filter(|container| container.name == name::CONTAINER && restarted.fresh_pull) {
        server.image_pull_policy = Some("Always".into());
    }
}

/// An object's annotations.
pub(super) fn annotations(meta: &mut ObjectMeta) -> &mut BTreeMap<String, String> {
    meta.annotations.get_or_insert_default()
}
