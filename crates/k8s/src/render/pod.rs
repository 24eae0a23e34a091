//! The pod spec.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{LocalObjectReference, PodSpec, Toleration};
use portolan_core::Result;

use super::{Carrier, bridge, container, files, hardening, pull_secret, render_plan::RenderPlan};

/// Builds the pod spec.
pub(super) fn spec(plan: &RenderPlan<'_>) -> Result<PodSpec> {
    let options = &plan.input.spec.kubernetes;
    let (volumes, mounts) = files::volumes(plan)?;
    Ok(PodSpec {
        containers: vec![container::container(plan, mounts)?],
        init_containers: bridge::init_container(plan).map(|container| vec![container]),
        volumes: Some(volumes),
        security_context: Some(hardening::pod(plan)),
        service_account_name: options.service_account.clone(),
        automount_service_account_token: Some(options.service_account_token),
        enable_service_links: Some(false),
        restart_policy: Some("Always".into()),
        termination_grace_period_seconds: Some(grace_seconds(plan)),
        node_selector: Some(node_selector(plan)).filter(|selector| !selector.is_empty()),
        tolerations: Some(tolerations(plan)).filter(|tolerations| !tolerations.is_empty()),
        image_pull_secrets: pull_secrets(plan),
        ..PodSpec::default()
    })
}

/// Returns the termination grace period, in seconds.
///
/// The bridge and HTTP servers finish their requests and exit. A server that is attached to sees no end of input and often
/// ignores the signal, so a longer wait is useless.
pub(super) fn grace_seconds(plan: &RenderPlan<'_>) -> i64 {
    let default = match plan.carrier {
        Carrier::Http | Carrier::Bridge => 30,
        Carrier::Attach => 5,
    };
    plan.input.spec.kubernetes.grace_seconds.map_or(default, i64::from)
}

fn node_selector(plan: &RenderPlan<'_>) -> BTreeMap<String, String> {
    let own = plan.input.spec.kubernetes.node_selector.as_ref();
    own.unwrap_or(&plan.input.scheduling.node_selector).clone()
}

fn tolerations(plan: &RenderPlan<'_>) -> Vec<Toleration> {
    let Some(own) = &plan.input.spec.kubernetes.tolerations else {
        return plan.input.scheduling.tolerations.clone();
    };
    own.iter()
        .map(|toleration| Toleration {
            key: toleration.key.clone(),
            operator: toleration.operator.clone(),
            value: toleration.value.clone(),
            effect: toleration.effect.clone(),
            toleration_seconds: toleration.seconds,
        })
        .collect()
}

fn pull_secrets(plan: &RenderPlan<'_>) -> Option<Vec<LocalObjectReference>> {
    let references = pull_secret::names(plan)
        .into_iter()
        .map(|name| LocalObjectReference { name });
    Some(references.collect::<Vec<_>>()).filter(|references| !references.is_empty())
}
