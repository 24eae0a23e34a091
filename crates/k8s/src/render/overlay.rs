//! Merges a manifest with the generated Deployment.

use std::collections::BTreeMap;

use k8s_openapi::{
    DeepMerge,
    api::{
        apps::v1::{Deployment, DeploymentSpec},
        core::v1::{
            Capabilities, Container, ContainerPort, EnvVar, PodSecurityContext, PodSpec, Secret as SecretObject,
            SecurityContext, VolumeMount,
        },
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};

use crate::{api_compat, manifest, name};

use super::{Carrier, bridge, container, deployment, hardening, image, render_plan::RenderPlan};

/// Completes `given` from `own`, the generated Deployment.
///
/// Always taken from `own`: name, namespace, labels, selector, the service account and the mount of its token, the carrier of a
/// stdio server, and the settings that keep containers from gaining privileges.
pub(super) fn merge(
    given: Deployment,
    own: Deployment,
    plan: &RenderPlan<'_>,
    secret: Option<&SecretObject>,
) -> Deployment {
    let ((given_meta, given), (own_meta, own)) = (api_compat::parts(given), api_compat::parts(own));
    let (given, own) = (given.unwrap_or_default(), own.unwrap_or_default());
    let mut template = own.template;
    template.metadata = Some(merge_metadata(
        given.template.metadata.unwrap_or_default(),
        template.metadata.unwrap_or_default(),
    ));
    template.spec = template
        .spec
        .map(|pod| merge_pod(given.template.spec.unwrap_or_default(), pod, plan, secret));
    let rolls = deployment::rolls(plan.carrier);
    api_compat::deployment(
        merge_metadata(given_meta, own_meta),
        DeploymentSpec {
            replicas: own.replicas.or_else(|| given.replicas.filter(|_| rolls)),
            strategy: given.strategy.filter(|_| rolls).or(own.strategy),
            min_ready_seconds: given.min_ready_seconds,
            progress_deadline_seconds: given.progress_deadline_seconds,
            revision_history_limit: given.revision_history_limit.or(own.revision_history_limit),
            selector: own.selector,
            template,
            paused: None,
        },
    )
}

/// Returns the generated metadata, with the given annotations.
fn merge_metadata(given: ObjectMeta, own: ObjectMeta) -> ObjectMeta {
    let mut annotations: BTreeMap<_, _> = given.annotations.unwrap_or_default();
    annotations.retain(|key, _| !key.starts_with(name::PREFIX));
    annotations.extend(own.annotations.unwrap_or_default());
    ObjectMeta {
        annotations: Some(annotations).filter(|annotations| !annotations.is_empty()),
        ..own
    }
}

fn merge_pod(mut pod: PodSpec, own: PodSpec, plan: &RenderPlan<'_>, secret: Option<&SecretObject>) -> PodSpec {
    let server = manifest::server_index(&pod.containers);
    for (index, container) in pod.containers.iter_mut().enumerate() {
        if index != server {
            container.security_context = Some(harden(container.security_context.take(), None));
        }
    }
    if let (Some(container), Some(own)) = (pod.containers.get_mut(server), own.containers.into_iter().next()) {
        merge_container(container, own, plan, secret);
    }
    pod.init_containers = merge_init_containers(pod.init_containers, own.init_containers);
    let volumes = own.volumes.unwrap_or_default();
    pod.volumes = Some(merge_lists(pod.volumes, volumes, |a, b| a.name == b.name, |_| true));
    pod.security_context = Some(harden_pod(
        pod.security_context.unwrap_or_default(),
        own.security_context.unwrap_or_default(),
    ));
    let pulls = merge_lists(
        pod.image_pull_secrets,
        own.image_pull_secrets.unwrap_or_default(),
        |a, b| a.name == b.name,
        |_| false,
    );
    pod.image_pull_secrets = Some(pulls).filter(|pulls| !pulls.is_empty());
    pod.service_account = None;
    pod.service_account_name = own.service_account_name;
    pod.automount_service_account_token = own.automount_service_account_token;
    pod.restart_policy = own.restart_policy;
    pod.enable_service_links = pod.enable_service_links.or(own.enable_service_links);
    pod.termination_grace_period_seconds = pod
        .termination_grace_period_seconds
        .or(own.termination_grace_period_seconds);
    pod.tolerations = pod.tolerations.or(own.tolerations);
    let mut node_selector = own.node_selector.unwrap_or_default();
    node_selector.extend(pod.node_selector.unwrap_or_default());
    pod.node_selector = Some(node_selector).filter(|selector| !selector.is_empty());
    pod
}

/// Completes the server's container. The command in `own` already takes the given one into account.
fn merge_container(given: &mut Container, own: Container, plan: &RenderPlan<'_>, secret: Option<&SecretObject>) {
    let is_own_image = given.image.is_none() || given.image == own.image;
    let policy = own.image_pull_policy.filter(|_| is_own_image);
    given.image = given.image.take().or(own.image);
    let by_name = || given.image.as_deref().map(|image| image::pull_policy(image).to_owned());
    given.image_pull_policy = given.image_pull_policy.take().or(policy).or_else(by_name);
    given.name = own.name;
    given.command = own.command;
    given.args = own.args;
    given.env = Some(merge_variables(given.env.take(), own.env, plan, secret)).filter(|env| !env.is_empty());
    let sources = merge_lists(
        given.env_from.take(),
        own.env_from.unwrap_or_default(),
        |a, b| a == b,
        |_| false,
    );
    given.env_from = Some(sources).filter(|sources| !sources.is_empty());
    given.resources = given.resources.take().or(own.resources);
    given.security_context = Some(harden(given.security_context.take(), own.security_context));
    given.volume_mounts = Some(merge_mounts(
        given.volume_mounts.take().unwrap_or_default(),
        own.volume_mounts.unwrap_or_default(),
    ));
    for port in own.ports.unwrap_or_default() {
        add_port(given, port);
    }
    given.startup_probe = given.startup_probe.take().or(own.startup_probe);
    given.readiness_probe = given.readiness_probe.take().or(own.readiness_probe);
    given.liveness_probe = given.liveness_probe.take().or(own.liveness_probe);
    given.lifecycle = given.lifecycle.take().or(own.lifecycle);
    if plan.carrier == Carrier::Attach {
        container::attachable(given);
    }
}

/// Returns the given variables and the generated ones that are not among them. A reference to a missing value of the server's
/// Secret is dropped, because the pod would not start with it.
fn merge_variables(
    given: Option<Vec<EnvVar>>,
    own: Option<Vec<EnvVar>>,
    plan: &RenderPlan<'_>,
    secret: Option<&SecretObject>,
) -> Vec<EnvVar> {
    let rules = plan.manifest_rules(secret);
    let own = own.unwrap_or_default();
    let is_token = |variable: &EnvVar| variable.name == bridge::TOKEN_VARIABLE;
    let has_token = own.iter().any(is_token);
    let is_kept = |variable: &EnvVar| {
        let reference = variable
            .value_from
            .as_ref()
            .and_then(|from| from.secret_key_ref.as_ref());
        let is_dangling = reference.is_some_and(|key| rules.is_missing_own_key(&key.name, &key.key));
        !is_dangling && (has_token || !is_token(variable))
    };
    let given = given.map(|given| given.into_iter().filter(is_kept).collect());
    merge_lists(given, own, |a, b| a.name == b.name, is_token)
}

/// Merges the mounts. The mounts of the bridge and of secret files are fixed; a writable directory may be replaced.
fn merge_mounts(given: Vec<VolumeMount>, own: Vec<VolumeMount>) -> Vec<VolumeMount> {
    let is_fixed = |own: &VolumeMount| own.read_only == Some(true);
    merge_lists(Some(given), own, |a, b| a.mount_path == b.mount_path, is_fixed)
}

fn add_port(container: &mut Container, mut port: ContainerPort) {
    let ports = container.ports.get_or_insert_default();
    if ports.iter().any(|given| given.container_port == port.container_port) {
        return;
    }
    if ports.iter().any(|given| given.name == port.name) {
        port.name = None;
    }
    ports.push(port);
}

fn merge_init_containers(given: Option<Vec<Container>>, own: Option<Vec<Container>>) -> Option<Vec<Container>> {
    let mut all = own.unwrap_or_default();
    for mut container in given.into_iter().flatten() {
        if !all.iter().any(|own| own.name == container.name) {
            container.security_context = Some(harden(container.security_context.take(), None));
            all.push(container);
        }
    }
    Some(all).filter(|all| !all.is_empty())
}

/// Merges two security contexts and enforces what the restricted standard requires.
fn harden(given: Option<SecurityContext>, own: Option<SecurityContext>) -> SecurityContext {
    let mut context = own.unwrap_or_default();
    context.merge_from(given.unwrap_or_default());
    context.allow_privilege_escalation = Some(false);
    context.capabilities = Some(Capabilities {
        add: None,
        drop: hardening::container(true)
            .capabilities
            .and_then(|capabilities| capabilities.drop),
    });
    context
}

fn harden_pod(given: PodSecurityContext, mut own: PodSecurityContext) -> PodSecurityContext {
    if given.run_as_user.is_some() {
        own.run_as_group = None;
    }
    own.merge_from(given);
    own
}

/// Merges two lists. Of two items that are the same, the generated one is used if `wins`, else the given one.
///
/// Given items keep their order: it is part of the pod template, and a Deployment that was shown and pasted back must not
/// replace pods.
fn merge_lists<T>(
    given: Option<Vec<T>>,
    own: Vec<T>,
    is_same: impl Fn(&T, &T) -> bool,
    wins: impl Fn(&T) -> bool,
) -> Vec<T> {
    let mut all = given.unwrap_or_default();
    for item in own {
        match all.iter().position(|given| is_same(given, &item)) {
            None => all.push(item),
            Some(place) if wins(&item) => {
                let later = all.split_off(place + 1);
                all.extend(later.into_iter().filter(|given| !is_same(given, &item)));
                all[place] = item;
            }
            Some(_) => {}
        }
    }
    all
}
