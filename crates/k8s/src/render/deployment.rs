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

use crate::{api_compat, name};

use super::{Carrier, RestartRequest, pod, render_plan::RenderPlan, secret};

/// Builds the Deployment, without its digest.
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

/// Returns whether a new pod may run beside the old one. A stdio server is one process, with one state.
pub(super) fn rolls(carrier: Carrier) -> bool {
    carrier == Carrier::Http
}

/// Returns how a new pod replaces the old one.
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

/// Adds a restart request to the pod template.
pub(super) fn restart(deployment: &mut Deployment, restart: RestartRequest) {
    let Some(template) = api_compat::spec_mut(deployment).map(|spec| &mut spec.template) else {
        return;
    };
    annotations(template.metadata.get_or_insert_default()).insert(name::RESTARTED_AT.into(), restart.at.to_string());
    let containers = template.spec.iter_mut().flat_map(|pod| &mut pod.containers);
    for server in containers.filter(|container| container.name == name::CONTAINER && restart.fresh_pull) {
        server.image_pull_policy = Some("Always".into());
    }
}

/// Returns the annotations of an object, mutable.
pub(super) fn annotations(meta: &mut ObjectMeta) -> &mut BTreeMap<String, String> {
    meta.annotations.get_or_insert_default()
}
