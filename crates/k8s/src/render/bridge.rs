//! The bridge in a pod: the command that starts it, and the init container that copies it there.

use k8s_openapi::{
    api::core::v1::{Container, EmptyDirVolumeSource, EnvVar, ResourceRequirements, Volume, VolumeMount},
    apimachinery::pkg::api::resource::Quantity,
};
use portolan_core::{ProtocolEra, RunSpec, ServerRequestPolicy, Source};

use crate::{
    config::{BridgeSource, KubeConfig},
    manifest::ContainerCommand,
};

use super::{BRIDGE_PORT, BRIDGE_TOKEN, Carrier, RenderInput, env, hardening, image, render_plan::RenderPlan};

/// The path of the bridge in images that contain it.
const IN_IMAGE: &str = "/portolan-bridge";
/// The path of the bridge that the init container copied.
const COPIED: &str = "/bridge/portolan-bridge";
/// The directory that the init container copies it to.
const DIRECTORY: &str = "/bridge";
/// The name of the volume of that directory, and of the init container.
const VOLUME: &str = "portolan-bridge";
/// The environment variable with the bridge's token.
pub(super) const TOKEN_VARIABLE: &str = "PORTOLAN_BRIDGE_TOKEN";

/// Returns the command of the bridge that runs `command` as a child process.
pub(super) fn with_bridge(command: ContainerCommand, input: &RenderInput<'_>) -> ContainerCommand {
    let path = if is_copied(input.spec, input.config) {
        COPIED
    } else {
        IN_IMAGE
    };
    let mut args = vec!["--port".to_owned(), BRIDGE_PORT.to_string()];
    args.extend(flags(input.spec));
    args.push("--".into());
    args.extend(command.program.into_iter().flatten());
    args.extend(command.args.into_iter().flatten());
    ContainerCommand {
        program: Some(vec![path.to_owned()]),
        args: Some(args),
    }
}

/// Returns the flags that differ from the bridge's defaults.
fn flags(spec: &RunSpec) -> Vec<String> {
    let mut flags = Vec::new();
    let era = match spec.era {
        ProtocolEra::Auto => None,
        ProtocolEra::Modern => Some("modern"),
        ProtocolEra::Legacy => Some("legacy"),
    };
    flags.extend(era.into_iter().flat_map(|era| ["--era".to_owned(), era.to_owned()]));
    if spec.server_requests != ServerRequestPolicy::default() {
        flags.extend(["--asks".to_owned(), asks_flag(spec.server_requests)]);
    }
    if let Some(grace) = spec.kubernetes.grace_seconds {
        // Leaves time for the last lines of the log before the kubelet kills it.
        flags.extend(["--drain".to_owned(), grace.saturating_sub(5).max(grace / 2).to_string()]);
    }
    flags
}

fn asks_flag(server_requests: ServerRequestPolicy) -> String {
    let all = [
        (server_requests.elicitation, "elicitation"),
        (server_requests.sampling, "sampling"),
        (server_requests.roots, "roots"),
    ];
    let on: Vec<_> = all
        .into_iter()
        .filter_map(|(is_on, name)| is_on.then_some(name))
        .collect();
    if on.is_empty() { "none".into() } else { on.join(",") }
}

/// Returns the command that the bridge runs if `command` starts the bridge, else `command` itself: a rendered Deployment may
/// come back as a Deployment YAML.
pub(super) fn without_bridge(command: ContainerCommand) -> ContainerCommand {
    let is_bridge = command
        .program
        .as_deref()
        .is_some_and(|program| matches!(program, [path] if path == IN_IMAGE || path == COPIED));
    let mut served = command
        .args
        .iter()
        .flatten()
        .skip_while(|arg| *arg != "--")
        .skip(1)
        .cloned();
    match (is_bridge, served.next()) {
        (true, Some(program)) => ContainerCommand {
            program: Some(vec![program]),
            args: Some(served.collect()).filter(|args: &Vec<_>| !args.is_empty()),
        },
        _ => command,
    }
}

/// Returns the image that the bridge is copied from, if it is not the base image.
pub(super) fn image_of(config: &KubeConfig) -> Option<&str> {
    match &config.bridge {
        BridgeSource::BaseImage => None,
        BridgeSource::Image(image) => Some(image),
    }
}

/// Returns the environment variable with the bridge's token.
pub(super) fn token(plan: &RenderPlan<'_>) -> Option<EnvVar> {
    (plan.carrier == Carrier::Bridge).then(|| env::from_secret(TOKEN_VARIABLE, &plan.secret_name(), BRIDGE_TOKEN))
}

/// Returns the init container that copies the bridge, if the server's image does not contain it.
pub(super) fn init_container(plan: &RenderPlan<'_>) -> Option<Container> {
    let config = plan.input.config;
    let image = image_of(config).unwrap_or(&config.base_image);
    is_copied_in(plan).then(|| Container {
        name: VOLUME.into(),
        image: Some(image.into()),
        image_pull_policy: Some(image::pull_policy(image).into()),
        command: Some(vec![IN_IMAGE.into()]),
        args: Some(vec!["--copy-to".into(), COPIED.into()]),
        volume_mounts: Some(vec![mount_at_directory(false)]),
        security_context: Some(hardening::container(true)),
        resources: Some(resources()),
        ..Container::default()
    })
}

/// Returns the mount of the copied bridge in the server's container.
pub(super) fn mount(plan: &RenderPlan<'_>) -> Option<VolumeMount> {
    is_copied_in(plan).then(|| mount_at_directory(true))
}

/// Returns the volume that the bridge is copied to.
pub(super) fn volume(plan: &RenderPlan<'_>) -> Option<Volume> {
    is_copied_in(plan).then(|| Volume {
        name: VOLUME.into(),
        empty_dir: Some(EmptyDirVolumeSource::default()),
        ..Volume::default()
    })
}

fn is_copied_in(plan: &RenderPlan<'_>) -> bool {
    plan.carrier == Carrier::Bridge && is_copied(plan.input.spec, plan.input.config)
}

fn is_copied(spec: &RunSpec, config: &KubeConfig) -> bool {
    !matches!(
        (&spec.source, &config.bridge),
        (Source::Command { .. }, BridgeSource::BaseImage)
    )
}

fn mount_at_directory(read_only: bool) -> VolumeMount {
    VolumeMount {
        name: VOLUME.into(),
        mount_path: DIRECTORY.into(),
        read_only: Some(read_only),
        ..VolumeMount::default()
    }
}

/// Returns resources for copying one file. A namespace with a quota requires requests and limits of every container.
fn resources() -> ResourceRequirements {
    let figures =
        |pairs: [(&str, &str); 3]| Some(pairs.map(|(name, text)| (name.into(), Quantity(text.into()))).into());
    ResourceRequirements {
        requests: figures([("cpu", "10m"), ("memory", "16Mi"), ("ephemeral-storage", "32Mi")]),
        limits: figures([("cpu", "1"), ("memory", "64Mi"), ("ephemeral-storage", "128Mi")]),
        ..ResourceRequirements::default()
    }
}
