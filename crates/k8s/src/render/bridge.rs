//! The bridge in a pod: what starts it, and what brings it there.

use k8s_openapi::{
    api::core::v1::{Container, EmptyDirVolumeSource, EnvVar, ResourceRequirements, Volume, VolumeMount},
    apimachinery::pkg::api::resource::Quantity,
};
use portolan_core::{ProtocolEra, RunSpec, ServerRequestPolicy, Source};

use crate::config::{BridgeSource, KubeConfig};

use super::{
    BRIDGE_PORT, BRIDGE_TOKEN, Carrier, RenderInput, env, hardening, image,
    render_plan::{ContainerCommand, RenderPlan},
};

/// Where images that have the bridge have it.
const IN_IMAGE: &str = "/portolan-bridge";
/// Where it is where an init container brought it.
const COPIED: &str = "/bridge/portolan-bridge";
/// The folder that it is brought to.
const FOLDER: &str = "/bridge";
/// The volume of that folder, and the name of the init container.
const VOLUME: &str = "portolan-bridge";
/// The variable that tells the bridge its token.
pub(super) const TOKEN_VARIABLE: &str = "PORTOLAN_BRIDGE_TOKEN";

/// The bridge before `command`: it starts the program with its arguments and serves it.
pub(super) fn wrapped(command: ContainerCommand, input: &RenderInput<'_>) -> ContainerCommand {
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

/// What the bridge is told where that is not what it does anyway.
fn flags(spec: &RunSpec) -> Vec<String> {
    let mut flags = Vec::new();
    let era = match spec.era {
        ProtocolEra::Auto => None,
        ProtocolEra::Modern => Some("modern"),
        ProtocolEra::Legacy => Some("legacy"),
    };
    flags.extend(era.into_iter().flat_map(|era| ["--era".to_owned(), era.to_owned()]));
    if spec.server_requests != ServerRequestPolicy::default() {
        flags.extend(["--asks".to_owned(), asks(spec.server_requests)]);
    }
    if let Some(grace) = spec.kubernetes.grace_seconds {
        // The last lines of the log need a moment, too, before the kubelet kills it.
        flags.extend(["--drain".to_owned(), grace.saturating_sub(5).max(grace / 2).to_string()]);
    }
    flags
}

fn asks(server_requests: ServerRequestPolicy) -> String {
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

/// The command that a bridge was put before; any other as it is.
pub(crate) fn without_bridge(command: ContainerCommand) -> ContainerCommand {
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

/// The image that the bridge is copied from, where that is not the base image.
pub(super) fn image_of(config: &KubeConfig) -> Option<&str> {
    match &config.bridge {
        BridgeSource::BaseImage => None,
        BridgeSource::Image(image) => Some(image),
    }
}

/// The variable with the bridge's token.
pub(super) fn token(plan: &RenderPlan<'_>) -> Option<EnvVar> {
    (plan.carrier == Carrier::Bridge).then(|| env::from_secret(TOKEN_VARIABLE, &plan.secret_name(), BRIDGE_TOKEN))
}

/// The init container that brings the bridge, where the server's image does not have it.
pub(super) fn init_container(plan: &RenderPlan<'_>) -> Option<Container> {
    let config = plan.input.config;
    let image = image_of(config).unwrap_or(&config.base_image);
    is_copied_in(plan).then(|| Container {
        name: VOLUME.into(),
        image: Some(image.into()),
        image_pull_policy: Some(image::pull_policy(image).into()),
        command: Some(vec![IN_IMAGE.into()]),
        args: Some(vec!["--copy-to".into(), COPIED.into()]),
        volume_mounts: Some(vec![mount_at_folder(false)]),
        security_context: Some(hardening::container(true)),
        resources: Some(resources()),
        ..Container::default()
    })
}

/// Where the server's container sees what was brought.
pub(super) fn mount(plan: &RenderPlan<'_>) -> Option<VolumeMount> {
    is_copied_in(plan).then(|| mount_at_folder(true))
}

/// What it is brought in.
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

fn mount_at_folder(read_only: bool) -> VolumeMount {
    VolumeMount {
        name: VOLUME.into(),
        mount_path: FOLDER.into(),
        read_only: Some(read_only),
        ..VolumeMount::default()
    }
}

/// One file is copied. A namespace with a quota wants both figures of every container.
fn resources() -> ResourceRequirements {
    let figures =
        |pairs: [(&str, &str); 3]| Some(pairs.map(|(name, text)| (name.into(), Quantity(text.into()))).into());
    ResourceRequirements {
        requests: figures([("cpu", "10m"), ("memory", "16Mi"), ("ephemeral-storage", "32Mi")]),
        limits: figures([("cpu", "1"), ("memory", "64Mi"), ("ephemeral-storage", "128Mi")]),
        ..ResourceRequirements::default()
    }
}
